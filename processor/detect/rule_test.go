package detect_test

import (
	"database/sql"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"log/slog"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/detect"
)

func builtin(t testing.TB) []*detect.Rule {
	t.Helper()
	rules, err := detect.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// The page is what the rules say.
func TestDocumentIsCurrent(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "detections.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != detect.Document(builtin(t)) {
		t.Error(`docs/detections.md is not current: run "go generate ./processor/detect"`)
	}
}

const goodRule = `id: x
version: 1
title: X
severity: low
means: It is so.
respond: Act.
false_positives: None.
parameters:
  bound: {default: 3, max: 5, unit: s, means: how long}
controls: {OWASP MCP: [MCP01]}
`

// load reads a rule of these texts.
func load(yaml, sql string) ([]*detect.Rule, error) {
	return detect.Load(fstest.MapFS{"x.yaml": {Data: []byte(yaml)}, "x.sql": {Data: []byte(sql)}})
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	const sql = "SELECT {bound:UInt32}"
	if rules, err := load(goodRule, sql); err != nil || len(rules) != 1 || rules[0].SQL != sql {
		t.Fatalf("the good rule: %v, %v", rules, err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"id: x", "id: y", `want that of the file, "x"`},
		{"id: x", "id: x\nseverty: low", "severty"},
		{"severity: low", "severity: huge", `severity "huge"`},
		{"version: 1", "version: 0", "version, title"},
		{"default: 3", "default: 3.5", "want an integer, a boolean or a string"},
		{"default: 3", "default: 6", "out of range"},
		{"bound:", "from:", `parameter "from"`},
		{"bound:", "other:", "not used by the query"},
		{"controls:", "schedule: {after: [first_seen, rythm]}\ncontrols:", `schedule.after: there is no pass "rythm" to wait for: want some of [lineage first_seen first_audience activity rhythm reach verdict privilege]`},
		{"controls:", "ocsf: 6003\ncontrols:", "ocsf 6003: want one of [2003 2004 2008]"},
		{"MCP01", "MCP99", `control "MCP99"`},
		{"OWASP MCP", "ISO", `control "MCP01" of "ISO"`},
	} {
		_, err := load(strings.Replace(goodRule, c.old, c.new, 1), sql)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "x.yaml") {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
	if _, err := detect.Load(fstest.MapFS{"x.yaml": {Data: []byte(goodRule)}}); err == nil || !strings.Contains(err.Error(), "x.sql") {
		t.Errorf("without its query: %v", err)
	}
}

func TestParametersAreChecked(t *testing.T) {
	for _, c := range []struct {
		rule, name string
		value      any
		want       string
	}{
		{"call_after_deny", "window", 60, ""},
		{"call_after_deny", "window", "60", "want int, got string"},
		{"call_after_deny", "window", 7200, "out of range"},
		{"call_after_deny", "windo", 60, `no parameter "windo"`},
		{"call_after_dent", "window", 60, `"call_after_dent", which there is not`},
		{"scope_widening", "judge_step_up", false, ""},
	} {
		_, err := detect.New(detect.Config{
			ClickHouse: never{}, Sessions: new(sql.DB), Logger: slog.New(slog.DiscardHandler), Parameters: map[string]map[string]any{c.rule: {c.name: c.value}},
		})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s.%s = %v: %v, want %q", c.rule, c.name, c.value, err, c.want)
		}
	}
	if _, err := detect.New(detect.Config{Interval: -1}); err == nil || !strings.Contains(err.Error(), "ClickHouse, Sessions and Logger") || !strings.Contains(err.Error(), "negative") {
		t.Errorf("an empty config: %v", err)
	}
}

// never is a connection that is not used.
type never struct{ driver.Conn }

// Every framework that a rule may name is used by one, and every rule is told in full.
func TestEveryRuleHasControls(t *testing.T) {
	used := map[string]bool{}
	for _, r := range builtin(t) {
		for framework, ids := range r.Controls {
			used[framework] = used[framework] || len(ids) > 0
		}
		if len(r.Controls) < 5 || !strings.HasPrefix(r.SQL, "-- ") {
			t.Errorf("%s: %d frameworks; the query begins with %.20q", r.ID, len(r.Controls), r.SQL)
		}
	}
	for _, framework := range slices.Sorted(maps.Keys(detect.Frameworks)) {
		if !used[framework] {
			t.Errorf("no rule has a control of %s", framework)
		}
	}
}
