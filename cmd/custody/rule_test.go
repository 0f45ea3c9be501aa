package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/processor/detect"
)

// A rule of one's own, and a changed one, tried on the story.
func TestRules(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"overrides.yaml": "call_after_deny: {severity: low}\nchain_cyclic: {disabled: true}\n",
		"own_rule.yaml":  "id: own_rule\nversion: 1\ntitle: Somebody exported contacts\nseverity: info\nmeans: It was done.\nrespond: Look.\nfalse_positives: None.\n",
		"own_rule.sql": `SELECT tenant, [toString(id)] AS subject_key, true AS violated, 'contacts were exported' AS summary, subject_sub, actor_sub, toString(server_id) AS server_id,
			toString(tool_name) AS tool_name, token_ref, task_id, trace_id, [id] AS evidence, time AS first_seen, time AS last_seen, 'recorded' AS coverage, '' AS coverage_note, []::Array(String) AS coverage_sources
			FROM events WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND type = 'mcp.tools.call' AND tool_name = 'export_contacts'`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var list []ruleAnswer
	if err := json.Unmarshal([]byte(ask(t, "rule", "list", "--detect-rules", dir, "--output", "json")), &list); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(r ruleAnswer) bool { return r.ID == "own_rule" })
	if i < 0 || !list[i].Own || !slices.ContainsFunc(list, func(r ruleAnswer) bool { return r.ID == "chain_cyclic" && r.Disabled }) {
		t.Errorf("rules %+v", list)
	}
	if shown := ask(t, "rule", "show", "call_after_deny", "--detect-rules", dir); !strings.Contains(shown, "low, built in") || !strings.Contains(shown, "window") {
		t.Errorf("shown: %s", shown)
	}
	story := filepath.Join("..", "..", "schemas", "event", "testdata", "story.jsonl")
	for rule, want := range map[string]string{"own_rule": "info", "call_after_deny": "low", "chain_cyclic": ""} {
		var found []*detect.Finding
		if err := json.Unmarshal([]byte(ask(t, "rule", "test", rule, "--events", story, "--detect-rules", dir, "--output", "json")), &found); err != nil {
			t.Fatal(err)
		}
		if want == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || found[0].Rule != rule || found[0].Severity != want {
			t.Errorf("%s: %+v", rule, found)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"rule show nothing", `no rule "nothing"`},
		{"rule test call_after_deny", "want --events FILE"},
		{"rule backtest call_after_deny --data-dir " + dir, "want --from"},
		{"rule list --detect-rules " + filepath.Join(dir, "none"), "detect.rules: folder of rules"},
	} {
		if _, err := try(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

// The passes that a rule may wait for are those that are at work.
func TestRulesWaitForPasses(t *testing.T) {
	a := &app{config: defaults(), logger: slog.New(slog.DiscardHandler)}
	a.config.ClickHouse.Addresses = []string{"127.0.0.1:1"} // nobody dials
	conn, err := a.config.ClickHouse.asker("custody")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	passes, err := newPasses(a, conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(detect.Passes, passes.Passes()); diff != "" {
		t.Errorf("(-to wait for +at work):\n%s", diff)
	}
}
