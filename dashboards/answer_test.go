package dashboards_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// plain are the types of ClickHouse that the data source (4.14.1,
// pkg/converters/converters.go) turns into a time, a number or a text.
var plain = regexp.MustCompile(`^(Nullable\()?(LowCardinality\()?(String|U?Int(8|16|32|64)|Float(32|64)|DateTime(64)?(\(.*\))?)\)*$`)

// Columns have types that Grafana can show, and a chart's first one is its time.
func TestColumns(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	for _, b := range dashboards.All() {
		for _, q := range b.Queries() {
			answer, err := s.asGrafana(t, q, morning())
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(answer, "\n")
			for i, column := range strings.Split(head, " | ") {
				name, kind, _ := strings.Cut(column, " ")
				if !plain.MatchString(kind) {
					t.Errorf("%s/%s: Grafana does not show column %s of type %s", b.Name, q.File, name, kind)
				}
				if i == 0 && q.QueryType == "timeseries" && (name != "time" || !strings.HasPrefix(kind, "DateTime")) {
					t.Errorf("%s/%s: the first column of a chart is %s %s", b.Name, q.File, name, kind)
				}
			}
		}
	}
}

// An edge of the graph without its nodes would be a hole in it.
func TestGraphIsClosed(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	nodes, edges := query(t, "delegation", "graph_nodes"), query(t, "delegation", "graph_edges")
	for _, v := range views {
		known, err := s.asGrafana(t, nodes, v)
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, line := range strings.Split(known, "\n")[1:] {
			id, _, _ := strings.Cut(line, " | ")
			ids[id] = true
		}
		answer, err := s.asGrafana(t, edges, v)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(answer), "\n")[1:] {
			cells := strings.Split(line, " | ")
			if !ids[cells[1]] || !ids[cells[2]] {
				t.Errorf("%s: an edge without its nodes: %s", v.name(), line)
			}
		}
	}
}

// The story has no token that crosses tenants: here one does.
func TestAcrossTenants(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	q := query(t, "delegation", "across_tenants")
	e := story.Named("deploy-call")
	e.Tenant = "globex"
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	s.insert(t, e)
	for tenant, want := range map[string]bool{"*": true, "acme": true, "globex": true, "initech": false} {
		got, err := s.asGrafana(t, q, morning("tenant", tenant))
		if err != nil || strings.Contains(got, "acme globex | deploy-mcp | 4") != want || strings.Count(got, "\n") > 2 {
			t.Errorf("tenant %s: %v\n%s", tenant, err, got)
		}
	}
}

// A cycle of exchanges, which only a forger makes, ends the walk and no query.
func TestCycle(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	e := story.Named("exchange-deploy")
	e.Exchange.SubjectTokenRef, e.Exchange.IssuedTokenRef = e.Exchange.IssuedTokenRef, e.Exchange.SubjectTokenRef
	e.Source.EventID = "forged"
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	s.insert(t, e)
	got, err := s.asGrafana(t, query(t, "delegation", "hops"), morning("start", e.Exchange.IssuedTokenRef))
	if err != nil || strings.Count(got, "\n") != 4 {
		t.Errorf("%v\n%s", err, got)
	}
}

// A privilege that was revoked in the review, and that its holder is given again.
func TestStillThere(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	q := query(t, "review", "still_there")
	e := story.Named("ivy-login")
	e.Time = event.TimeOf(time.Date(2026, 10, 5, 12, 4, 30, 0, time.UTC))
	e.ObservedTime, e.Source.EventID, e.Source.Sequence = e.Time, "ivy-again", 0
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	s.insert(t, e)
	s.takeIn(t)
	for tenant, want := range map[string]bool{"*": true, "initech": true, "acme": false} {
		got, err := s.asGrafana(t, q, morning("tenant", tenant))
		if err != nil || strings.Contains(got, "ivy | runner | scope payroll:read | 2026-10-05T12:04:30.000Z | 30") != want || strings.Count(got, "\n") > 2 {
			t.Errorf("tenant %s: %v\n%s", tenant, err, got)
		}
	}
}

// The story has one version of each policy: here another one decides.
func TestPolicyChange(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	q := query(t, "overview", "changed_policies")
	e := story.Named("deploy-decision")
	e.Time = event.TimeOf(time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC))
	e.ObservedTime, e.Source.EventID, e.Decision.PolicyVersion = e.Time, "decided-anew", "2026-10-05"
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	s.insert(t, e)
	for tenant, want := range map[string]bool{"*": true, "acme": true, "globex": false} {
		got, err := s.asGrafana(t, q, morning("tenant", tenant))
		if err != nil || strings.Contains(got, "2026-10-05T12:00:00.000Z | mcp/tools is of version 2026-10-05 | opa,acme") != want || strings.Count(got, "\n") > 2 {
			t.Errorf("tenant %s: %v\n%s", tenant, err, got)
		}
	}
}
