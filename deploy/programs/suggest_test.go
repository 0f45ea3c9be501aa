//go:build programs

package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
)

// TestSuggestedPolicy takes away what an agent of the demo has too much: the draft
// is put into OPA's server, and into Cedar's engine; what the agent did goes through
// there, and what it never used does not.
func TestSuggestedPolicy(t *testing.T) {
	i := prepared(t)
	start(t, regexp.MustCompile(`Stop with Ctrl-C`), exec.Command(i.program("custody"), "demo", "--duration", "3s", "--rate", "60", "--output", "json", "--data-dir", i.dir))
	about := []string{"--data-dir", i.file("demo"), "--tenant", tenant}
	suggest := func(format string) []byte {
		return i.custody(t, append([]string{"privilege", "suggest", "planner", "--min-age", "0s", "--format", format}, about...)...)
	}
	var s query.Suggestion
	var did, all []pastCall
	embeddedtest.Eventually(t, time.Minute, "the agent holds more than it uses", func(context.Context) error {
		s, did, all = query.Suggestion{}, pastCalls(t, i, about, " AND actor_sub = 'planner'"), pastCalls(t, i, about, "")
		if err := json.Unmarshal(suggest("json"), &s); err != nil {
			return err
		}
		if len(s.Remove) == 0 || uint64(len(did)) != s.Checked.Calls || len(did) == 0 {
			return fmt.Errorf("%d privileges to remove, %d calls of %d", len(s.Remove), s.Checked.Calls, len(did))
		}
		return nil
	})
	for name, e := range map[string]engine{"OPA": loadOPA(t, i, suggest("rego")), "Cedar": loadCedar(t, suggest("cedar"))} {
		t.Run(name, func(t *testing.T) { checkSuggested(t, e, &s, did, all) })
	}
}

// engine answers for a draft: may who has this subject at the issuer call the tool,
// and hold a token with the scopes?
type engine interface {
	allow(t *testing.T, iss, sub, server, tool string) bool
	hold(t *testing.T, iss, sub, server string, scopes ...string) bool
}

// checkSuggested asks about what the agent did, and what everybody did.
func checkSuggested(t *testing.T, e engine, s *query.Suggestion, did, all []pastCall) {
	for _, c := range did {
		if !e.allow(t, s.Iss, "planner", c.server, c.tool) || !e.hold(t, s.Iss, "planner", c.server, c.scopes...) {
			t.Errorf("what it did is denied: %+v", c)
		}
		for _, other := range [][2]string{{s.Iss, "reviewer"}, {"https://other.example", "planner"}} {
			if e.allow(t, other[0], other[1], c.server, c.tool) || e.hold(t, other[0], other[1], c.server, c.scopes...) {
				t.Errorf("the draft is about planner, and gives %+v to %v", c, other)
			}
		}
		if e.hold(t, s.Iss, "planner", c.server, append(slices.Clone(c.scopes), "secret:write")...) {
			t.Error("it may have a scope more that nobody ever granted")
		}
	}
	for _, p := range s.Remove {
		t.Logf("gone: %s %s at %s, %s", p.Kind, p.Name, p.Server, p.State)
		if p.Kind == "tool" && e.allow(t, s.Iss, "planner", p.Server, p.Name) || p.Kind == "scope" && e.hold(t, s.Iss, "planner", p.Server, p.Name) {
			t.Errorf("what it never used is allowed: %s %s at %s", p.Kind, p.Name, p.Server)
		}
	}
	others := 0
	for _, c := range append(all, pastCall{server: did[0].server, tool: "delete_repository"}, pastCall{server: did[0].server}) {
		if slices.ContainsFunc(did, func(d pastCall) bool { return d.server == c.server && d.tool == c.tool }) {
			continue
		}
		others++
		if e.allow(t, s.Iss, "planner", c.server, c.tool) {
			t.Errorf("it never used %q of %s and may", c.tool, c.server)
		}
	}
	if others < 5 {
		t.Errorf("it used all but %d of the calls that were made", others)
	}
}

// pastCall is a call that the agent made and that was carried out, with those
// scopes of its token that the tool needs.
type pastCall struct {
	server, tool string
	scopes       []string
}

func pastCalls(t *testing.T, i *installation, about []string, narrow string) (out []pastCall) {
	t.Helper()
	var answer struct{ Rows [][]any }
	text := i.custody(t, append([]string{"sql", "--output", "json", `SELECT server_id, tool_name, arrayIntersect(tool_scopes, token_scope) FROM events
		WHERE type = 'mcp.tools.call' AND outcome IN ('success', 'failure')` + narrow}, about...)...)
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, row := range answer.Rows {
		c := pastCall{server: row[0].(string), tool: row[1].(string)}
		for _, s := range row[2].([]any) {
			c.scopes = append(c.scopes, s.(string))
		}
		out = append(out, c)
	}
	return out
}

// opa is the address of a server with the draft.
type opa string

// loadOPA puts the draft into a server that had none.
func loadOPA(t *testing.T, i *installation, draft []byte) opa {
	t.Helper()
	address := "127.0.0.1:" + freePort(t)
	start(t, regexp.MustCompile(`Initializing server`), exec.Command(i.program("opa"), "run", "--server", "--addr", address))
	awaitListener(t, address)
	o := opa("http://" + address)
	if before := o.ask(t, map[string]any{}); before != nil {
		t.Fatalf("OPA answers %v before it has a policy", before)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, string(o)+"/v1/policies/suggested", bytes.NewReader(draft))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("OPA takes it with %s:\n%s", res.Status, draft)
	}
	return o
}

// ask returns all that the draft says; nil: there is none.
func (o opa) ask(t *testing.T, input map[string]any) map[string]any {
	t.Helper()
	body, err := json.Marshal(map[string]any{"input": input})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(string(o)+"/v1/data/custody/suggested", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Result map[string]any }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("OPA answers %s, %v", res.Status, err)
	}
	return answer.Result
}

func (o opa) input(iss, sub, server, tool string, scopes []string) map[string]any {
	return map[string]any{
		"subject": map[string]any{"id": sub, "properties": map[string]any{"iss": iss}}, "resource": map[string]any{"id": server},
		"action": map[string]any{"name": tool}, "context": map[string]any{"scope": scopes},
	}
}

func (o opa) allow(t *testing.T, iss, sub, server, tool string) bool {
	return o.ask(t, o.input(iss, sub, server, tool, nil))["allow"].(bool)
}

func (o opa) hold(t *testing.T, iss, sub, server string, scopes ...string) bool {
	return o.ask(t, o.input(iss, sub, server, "", append([]string{}, scopes...)))["may_hold"].(bool)
}

// cedarSet is the draft in Cedar's engine.
type cedarSet struct{ *cedar.PolicySet }

func loadCedar(t *testing.T, draft []byte) cedarSet {
	t.Helper()
	set, err := cedar.NewPolicySetFromBytes("suggested.cedar", draft)
	if err != nil {
		t.Fatalf("%v in\n%s", err, draft)
	}
	return cedarSet{set}
}

func (c cedarSet) ask(t *testing.T, action, iss, sub, server string, key cedar.String, value cedar.Value) bool {
	t.Helper()
	decision, diagnostic := cedar.Authorize(c.PolicySet, cedar.EntityMap{}, cedar.Request{
		Principal: cedar.NewEntityUID("Identity", cedar.String(sub)), Action: cedar.NewEntityUID("Action", cedar.String(action)),
		Resource: cedar.NewEntityUID("Server", cedar.String(server)), Context: cedar.NewRecord(cedar.RecordMap{"iss": cedar.String(iss), key: value}),
	})
	if len(diagnostic.Errors) > 0 {
		t.Fatal(diagnostic.Errors)
	}
	return decision == cedar.Allow
}

func (c cedarSet) allow(t *testing.T, iss, sub, server, tool string) bool {
	return c.ask(t, "call", iss, sub, server, "tool", cedar.String(tool))
}

func (c cedarSet) hold(t *testing.T, iss, sub, server string, scopes ...string) bool {
	var set []cedar.Value
	for _, s := range scopes {
		set = append(set, cedar.String(s))
	}
	return c.ask(t, "hold", iss, sub, server, "scope", cedar.NewSet(set...))
}
