package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// checkPrivilege takes away what the demo's planner has too much: the draft is
// loaded into OPA, the calls that it made pass, and its unused power is gone.
func checkPrivilege(t *testing.T, dir string) {
	t.Helper()
	about := []string{"--data-dir", dir, "--tenant", "acme", "--min-age", "0s"}
	var page query.PrivilegePage
	if err := json.Unmarshal([]byte(ask(t, append([]string{"privilege", "list", "--output", "json", "--identity", "planner"}, about...)...)), &page); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(page.Privileges, func(p *query.Privilege) bool { return p.Server == "github-mcp" && p.Name == "repo:read" })
	if i < 0 {
		t.Fatalf("planner uses all that it has: %+v", page.States)
	}
	if p := page.Privileges[i]; p.State != query.NeverUsed || p.Owner != "alice@acme.example" || p.Credential != "short_lived" || p.RiskSeconds != p.Tokens*300 || !slices.Equal(p.How, []string{"token", "exchange"}) {
		t.Errorf("planner's repo:read: %+v", p)
	}
	var s query.Suggestion
	if err := json.Unmarshal([]byte(ask(t, append([]string{"privilege", "suggest", "planner", "--format", "json"}, about...)...)), &s); err != nil {
		t.Fatal(err)
	}
	for _, u := range s.Checked.Denied {
		if u.What != "refused_call" {
			t.Errorf("it would have denied what was done: %+v", u)
		}
	}
	draft := ask(t, append([]string{"privilege", "suggest", "planner", "--format", "rego"}, about...)...)
	prepared, err := rego.New(rego.Query("allow = data.custody.suggested.allow; hold = data.custody.suggested.may_hold"), rego.Module("planner.rego", draft)).PrepareForEval(t.Context())
	if err != nil {
		t.Fatalf("%v in\n%s", err, draft)
	}
	decide := func(sub, server, tool string, scopes ...string) (allow, hold any) {
		result, err := prepared.Eval(t.Context(), rego.EvalInput(map[string]any{
			"subject": map[string]any{"id": sub, "properties": map[string]any{"iss": s.Iss}}, "resource": map[string]any{"id": server},
			"action": map[string]any{"name": tool}, "context": map[string]any{"scope": scopes},
		}))
		if err != nil || len(result) != 1 {
			t.Fatalf("%v, %v", result, err)
		}
		return result[0].Bindings["allow"], result[0].Bindings["hold"]
	}
	var made struct{ Events []*event.Event }
	if err := json.Unmarshal([]byte(ask(t, "search", "kind:tool_invocation actor:planner outcome:success", "--limit", "10000", "--output", "json", "--data-dir", dir, "--tenant", "acme")), &made); err != nil {
		t.Fatal(err)
	}
	if len(made.Events) == 0 || uint64(len(made.Events)) != s.Checked.Calls {
		t.Errorf("%d calls were made, %d checked", len(made.Events), s.Checked.Calls)
	}
	for _, e := range made.Events {
		if allow, _ := decide("planner", e.Server.ID, e.Tool.Name); allow != true {
			t.Errorf("%s of %s is a normal call and denied", e.Tool.Name, e.Server.ID)
		}
		if allow, _ := decide("reviewer", e.Server.ID, e.Tool.Name); allow != false {
			t.Error("the draft is about planner and allows another")
		}
	}
	for _, tool := range []string{"delete_repository", "delete_branch", ""} {
		if allow, _ := decide("planner", "github-mcp", tool); allow != false {
			t.Errorf("planner never used %q and may", tool)
		}
	}
	if _, hold := decide("planner", "github-mcp", "", "repo:write"); hold != true {
		t.Error("planner may not have repo:write, which it uses")
	}
	if _, hold := decide("planner", "github-mcp", "", "repo:write", "repo:read"); hold != false {
		t.Error("planner may have repo:read, which it never used")
	}
	if shown := ask(t, append([]string{"privilege", "suggest", "planner"}, about...)...); !strings.Contains(shown, "repo:read") || !strings.Contains(shown, "never used") {
		t.Errorf("the diff:\n%s", shown)
	}
}
