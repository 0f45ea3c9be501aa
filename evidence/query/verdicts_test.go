package query_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/verdict"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// judge runs the pass over what is stored.
func judge(t *testing.T, c *embeddedtest.ClickHouse) {
	t.Helper()
	conn := c.Conn(embedded.Detector)
	p, err := verdict.New(verdict.Config{ClickHouse: conn, Sessions: c.Sessions(embedded.Detector)})
	if err != nil {
		t.Fatal(err)
	}
	e, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: conn, Passes: []enrich.Pass{{Name: "verdict", Take: p.Take}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	c := tell(t)
	judge(t, c)
	r := reader(t, c, embedded.Analyst, "")
	names := map[string]string{}
	for _, e := range story.Events() {
		names[e.ID] = e.Source.EventID
	}
	search := func(f query.VerdictFilter) (found []string) {
		t.Helper()
		for after := ""; ; {
			page, err := r.Verdicts(t.Context(), f, 3, after)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.Verdicts {
				found = append(found, names[v.ID.String()])
			}
			if after = page.Next; after == "" {
				return found
			}
		}
	}
	refund := story.Named("refund-call")
	for name, x := range map[string]struct {
		f    query.VerdictFilter
		want []string
	}{
		"words of one kind":  {query.VerdictFilter{Verdicts: []string{"no_decision_seen", "decided_deny_but_ran"}}, []string{"notes-call", "refund-call"}},
		"words of two kinds": {query.VerdictFilter{Verdicts: []string{"decided_allow", "passthrough", "orphan"}}, []string{"payslip-call", "invoices-call"}},
		"server and tool":    {query.VerdictFilter{Server: "crm-mcp", Tool: "get_customer"}, []string{"customer-call"}},
		"id":                 {query.VerdictFilter{ID: refund.ID}, []string{"refund-call"}},
		"token and trace":    {query.VerdictFilter{Token: refund.Token.Ref, Trace: refund.Correlation.TraceID}, []string{"refund-call"}},
		"actor and subject":  {query.VerdictFilter{Actor: "analyst", Subject: "bruno", Server: "billing-mcp"}, []string{"payments-call", "invoices-call", "refund-call"}},
		"time":               {query.VerdictFilter{From: refund.Time.Go(), To: refund.Time.Go().Add(time.Microsecond)}, []string{"refund-call"}},
		"nobody":             {query.VerdictFilter{Actor: "' OR 1"}, nil},
	} {
		if diff := cmp.Diff(x.want, search(x.f)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if all := search(query.VerdictFilter{}); len(all) != 22 {
		t.Errorf("all pages hold %d calls", len(all))
	}
	for _, f := range []query.VerdictFilter{{Verdicts: []string{"guilty"}}, {ID: "x"}} {
		if _, err := r.Verdicts(t.Context(), f, 3, ""); err == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
	page, err := r.Verdicts(t.Context(), query.VerdictFilter{ID: refund.ID}, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	d := page.Verdicts[0].DecidedBy
	if d == nil || names[d.Event.String()] != "refund-decision" || d.Policy != "mcp/tools" || d.Version != "2026-09-28" || d.Effect != "deny" || d.Source != "globex-pdp" {
		t.Errorf("the refund was decided by %+v", d)
	}
}

func TestVerdictSummary(t *testing.T) {
	t.Parallel()
	c := tell(t)
	judge(t, c)
	s, err := reader(t, c, embedded.Analyst, "globex").VerdictSummary(t.Context(), query.VerdictFilter{})
	if err != nil {
		t.Fatal(err)
	}
	want := &query.VerdictSummary{
		Calls:    6,
		Decision: map[string]uint64{"decided_allow": 3, "decided_deny_but_ran": 1, "no_decision_seen": 1, "undecided": 1},
		Token:    map[string]uint64{"legitimate": 5, "passthrough": 1},
		Exchange: map[string]uint64{"narrowed": 4, "widening": 1, "cached": 1},
		Servers: []query.ServerVerdict{
			{"globex", "billing-mcp", "passthrough", 1}, {"globex", "billing-mcp", "decided_deny_but_ran", 1}, {"globex", "billing-mcp", "undecided", 1},
			{"globex", "crm-mcp", "widening", 1}, {"globex", "crm-mcp", "no_decision_seen", 1},
		},
	}
	heard := map[string]uint64{}
	for _, c := range s.Coverage {
		heard[c.Kind+" "+c.Source+" "+c.Server+c.Issuer] += c.Minutes
		if c.Tenant != "globex" || c.Hours == 0 || c.First.After(c.Last) {
			t.Errorf("coverage %+v", c)
		}
	}
	s.Coverage = nil
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]uint64{
		"credential globex-keycloak https://sso.globex.example/realms/staff": 1, "token_exchange globex-keycloak https://sso.globex.example/realms/staff": 5,
		"permission_decision globex-pdp billing-mcp": 3, "permission_decision globex-pdp crm-mcp": 2,
		"tool_invocation globex-gateway billing-mcp": 3, "tool_invocation globex-gateway crm-mcp": 3,
	}, heard); diff != "" {
		t.Errorf("minutes heard of (-want +got):\n%s", diff)
	}
}

// An auditor sees the verdicts and the coverage of their tenant, and no others have a part in them.
func TestVerdictsOfATenant(t *testing.T) {
	t.Parallel()
	c := tell(t)
	judge(t, c)
	for _, mine := range tenants {
		var said [][]*query.Verdict
		for _, r := range []*query.Reader{reader(t, c, embedded.Analyst, mine), reader(t, c, table.Auditor(mine), ""), reader(t, c, table.Auditor(mine), mine)} {
			page, err := r.Verdicts(t.Context(), query.VerdictFilter{}, 1000, "")
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Verdicts) == 0 || slices.ContainsFunc(page.Verdicts, func(v *query.Verdict) bool { return v.Tenant != mine }) {
				t.Errorf("%s sees %d verdicts, or others'", mine, len(page.Verdicts))
			}
			said = append(said, page.Verdicts)
			s, err := r.VerdictSummary(t.Context(), query.VerdictFilter{})
			if err != nil || len(s.Coverage) == 0 || slices.ContainsFunc(s.Coverage, func(c query.SourceCoverage) bool { return c.Tenant != mine }) {
				t.Errorf("coverage of %s: %+v, %v", mine, s, err)
			}
		}
		if diff := cmp.Diff(said[0], said[1]) + cmp.Diff(said[0], said[2]); diff != "" {
			t.Errorf("%s: one guard and the other differ:\n%s", mine, diff)
		}
	}
	conn := c.Conn(table.Auditor("acme"))
	for _, name := range []string{"verdicts", "verdict_states", "coverage", "coverage_states", "token_calls", "token_issues", "decision_coverage", "issuer_coverage"} {
		if all, mine, others := count(t, c.Conn(embedded.Analyst), "SELECT count() FROM "+name), count(t, conn, "SELECT count() FROM "+name), count(t, conn, "SELECT count() FROM "+name+" WHERE tenant != 'acme'"); mine == 0 || mine == all || others != 0 {
			t.Errorf("%s: an auditor sees %d of %d rows, %d of others", name, mine, all, others)
		}
	}
}
