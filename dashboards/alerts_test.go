package dashboards_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"

	"github.com/custody-audit/custody/dashboards"
	"github.com/custody-audit/custody/dashboards/alert"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/deploy/embedded"
)

func rules(t *testing.T) []*alert.Rule {
	t.Helper()
	list, err := alert.Rules()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The committed files of Grafana's provisioning are what the code makes.
func TestProvisioning(t *testing.T) {
	files, err := dashboards.Provisioning()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		golden(t, filepath.Join("..", "deploy", "grafana", filepath.FromSlash(f.Path)), string(f.Text))
	}
}

// Every rule has a runbook, a label to route by, and its query, which no variable
// reaches; every .sql file is one rule's; the SDK's strict reader takes them all.
func TestAlertRules(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "operate.md"))
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, r := range rules(t) {
		if !strings.Contains(string(page), "\n### "+r.Title+"\n") {
			t.Errorf("%s: docs/operate.md has no section %q", r.Name, r.Title)
		}
		if !slices.Contains([]string{"critical", "high", "medium"}, r.Severity) || r.Summary == "" || r.For == "" || r.Range == 0 || r.NoData == "" {
			t.Errorf("%s lacks something: %+v", r.Name, r)
		}
		if r.Query == nil {
			continue
		}
		asked = append(asked, filepath.Join("alert", r.Name+".sql"))
		if v := variablesOf(r.Query.SQL); len(v) > 0 {
			t.Errorf("%s asks by variables, which a rule has none of: %v", r.Name, v)
		}
	}
	slices.Sort(asked)
	if diff := cmp.Diff(asked, alertFiles(t)); diff != "" {
		t.Errorf(".sql files (-asked +there):\n%s", diff)
	}
	plugins.RegisterDefaultPlugins()
	board.RegisterQuery()
	group, err := dashboards.BuildAlerts(dashboards.Provisioned, dashboards.FolderUID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(group)
	if err != nil {
		t.Fatal(err)
	}
	if err := new(alerting.RuleGroup).UnmarshalJSONStrict(text); err != nil {
		t.Error(err)
	}
}

// Every metric that a rule asks for is one that a service has.
func TestAlertMetrics(t *testing.T) {
	names := exported(t)
	seen := 0
	for _, r := range rules(t) {
		for _, name := range metricPattern.FindAllString(r.Expr, -1) {
			if name == "custody_partition" || name == "custody_state" {
				continue
			}
			seen++
			if !names[name] {
				t.Errorf("rule %s asks for %s, which nobody has", r.Name, name)
			}
		}
	}
	if seen < 5 {
		t.Errorf("only %d metrics looked at", seen)
	}
}

// Each rule that asks ClickHouse fires when what it is about is so, and is quiet
// when it is not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	s := storeStory(t)
	admin := s.clickhouse.Conn(embedded.Admin)
	exec := func(sql string) {
		t.Helper()
		if err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO coverage_states SELECT 'acme', 'tool_invocation', 'steady', 'github-mcp', '', toDateTime('2026-10-05 10:00:00', 'UTC') - toIntervalHour(number) AS hour, hour, hour + 120, 7 FROM numbers(24)")
	exec("INSERT INTO log_gaps SELECT 'custody.events', 'd', 0, 0, 9, '', 'e', 0, 9, 12, 'retention', '2026-10-05 11:00:00.000', ''")
	exec("INSERT INTO checkpoints SELECT 'custody.events', 'e', 0, 0, 50, '', 1, '2026-10-05 13:00:00.000', ''")
	exec("INSERT INTO seal_discrepancies SELECT 'acme', 'custody.events', 'e', 0, 'edited', 3, 3, 'another leaf', [], '2026-10-05 11:00:00'")
	for _, c := range []struct {
		rule, fires, with, quiet string // times on the day of the story
	}{
		{"critical_findings", "12:05", "acme | event_forged | 1", "08:00"},
		{"source_silent", "12:05", "acme | steady | 7380", "10:30"},
		{"log_gap", "12:05", "custody.events | 0 | 1", "10:00"},
		{"seal_stale", "12:05", "custody.events | 0 |", "09:00"},
		{"witness_stale", "13:05", "custody.events | 0 | 5400", "12:05"},
		{"tamper_found", "12:05", "acme | edited | 1", "10:00"},
	} {
		if got := s.firing(t, c.rule, c.fires); len(got) != 1 && c.rule != "critical_findings" || !strings.HasPrefix(strings.Join(got, "\n"), c.with) {
			t.Errorf("%s at %s: %q, want %q", c.rule, c.fires, got, c.with)
		}
		if got := s.firing(t, c.rule, c.quiet); len(got) != 0 {
			t.Errorf("%s at %s fires: %q", c.rule, c.quiet, got)
		}
	}
	s.seal(t, 1000, time.Date(2026, 10, 5, 12, 4, 0, 0, time.UTC))
	if got := s.firing(t, "seal_stale", "12:05"); len(got) != 0 {
		t.Errorf("seal_stale fires when all is sealed: %q", got)
	}
}

// firing asks a rule at a time and returns the rows above its threshold. As Grafana
// wants it, all columns but the last are texts, and that is a number.
func (s *store) firing(t *testing.T, name, at string) (above []string) {
	t.Helper()
	list := rules(t)
	r := list[slices.IndexFunc(list, func(r *alert.Rule) bool { return r.Name == name })]
	to, err := time.Parse("2006-01-02 15:04", "2026-10-05 "+at)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.asGrafana(t, r.Query, view{View: board.View{From: to.Add(-time.Duration(r.Range) * time.Second), To: to, Interval: time.Minute}})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	columns := strings.Split(lines[0], " | ")
	for i, c := range columns {
		if text := strings.Contains(c, "String"); text != (i < len(columns)-1) {
			t.Errorf("%s: column %q: want texts, and a number at the end", name, c)
		}
	}
	for _, line := range lines[1:] {
		cells := strings.Split(line, " | ")
		value, err := strconv.ParseFloat(cells[len(cells)-1], 64)
		if err != nil {
			t.Errorf("%s: %q: %v", name, line, err)
		}
		if value > r.Above {
			above = append(above, line)
		}
	}
	return above
}
