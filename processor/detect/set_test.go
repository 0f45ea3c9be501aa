package detect_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/detect"
)

// folder writes files and returns where they are.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadSet(t *testing.T) {
	own := map[string]string{"x.yaml": goodRule, "x.sql": "SELECT {bound:UInt32}"}
	own[detect.OverridesFile] = "call_after_deny: {severity: low, parameters: {window: 60}}\nx: {disabled: true}\n"
	s, err := detect.ReadSet(folder(t, own))
	if err != nil {
		t.Fatal(err)
	}
	builtin := builtin(t)
	if len(s.Rules) != len(builtin)+1 || !s.Own("x") || s.Own("call_after_deny") || s.Rule("call_after_deny").Severity != "low" {
		t.Errorf("%d rules, of %d built in; call_after_deny is %s", len(s.Rules), len(builtin), s.Rule("call_after_deny").Severity)
	}
	if active := s.Active(); len(active) != len(builtin) || slices.ContainsFunc(active, func(r *detect.Rule) bool { return r.ID == "x" }) {
		t.Errorf("%d are active", len(active))
	}
	if p := s.Parameters(s.Active()); len(p) != 1 || p["call_after_deny"]["window"] != 60 {
		t.Errorf("parameters %v", p)
	}
	for _, c := range []struct{ name, text, want string }{
		{"overrides.yaml", "call_after_dent: {disabled: true}", "overrides.yaml: call_after_dent: there is no such rule"},
		{"overrides.yaml", "call_after_deny: {severity: huge}", `overrides.yaml: call_after_deny.severity: "huge"`},
		{"overrides.yaml", "call_after_deny: {parameters: {window: x}}", "overrides.yaml: call_after_deny.parameters.window: want int, got string"},
		{"overrides.yaml", "call_after_deny: {parameters: {windo: 6}}", "call_after_deny.parameters.windo: the rule has no such parameter; it has [skew window]"},
		{"overrides.yaml", "call_after_deny:\n  disable: true", "overrides.yaml: yaml: unmarshal errors:\n  line 2: field disable not found"},
		{"call_after_deny.yaml", strings.Replace(goodRule, "id: x", "id: call_after_deny", 1), `call_after_deny.yaml: id "call_after_deny" is a built-in rule's`},
		{"y.yaml", goodRule, "rule file y.yaml: the rule's query: open y.sql"},
	} {
		dir := folder(t, map[string]string{c.name: c.text, "call_after_deny.sql": "SELECT {bound:UInt32}"})
		if _, err := detect.ReadSet(dir); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s with %q: %v, want %q", c.name, c.text, err, c.want)
		}
	}
	if _, err := detect.ReadSet(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("there is no such folder, and no error")
	}
}

// A back-test finds what the rules find, says how far it is, and leaves no trace.
func TestBacktest(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store(without()...)
	b.engine = b.newEngine(func(c *detect.Config) { c.Step = time.Hour })
	for _, want := range found {
		said := 0
		list, err := b.engine.Backtest(t.Context(), want.Rule, time.Now().Add(-time.Hour), time.Now().Add(time.Minute), func(_ time.Time, n int) { said = n })
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || said != 1 || !slices.Equal(b.named(list[0].Evidence), want.Evidence) {
			t.Errorf("%s: %d findings, %d told of", want.Rule, len(list), said)
		}
		list, err = b.engine.Backtest(t.Context(), want.Rule, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour), func(time.Time, int) {})
		if err != nil || len(list) != 0 {
			t.Errorf("%s: %d findings before anything was stored, %v", want.Rule, len(list), err)
		}
	}
	if n := b.count(t.Context(), "SELECT (SELECT count() FROM finding_states) + (SELECT count() FROM rule_progress)"); n != 0 {
		t.Errorf("it left %d rows", n)
	}
}
