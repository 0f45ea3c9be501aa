package policy_test

import (
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/custody-audit/custody/evidence/policy"
	"github.com/custody-audit/custody/evidence/query"
)

// question is what a draft is asked.
type question struct {
	iss, sub, server string
	tool             string   // may it be called?
	scopes           []string // else: may a token have them?
}

// engines are the drafts in the engines that they are for.
type engines struct {
	testing.TB
	rego  *ast.Compiler
	cedar *cedar.PolicySet
}

func load(t testing.TB, s *query.Suggestion) *engines {
	t.Helper()
	module, err := ast.ParseModule("suggested.rego", policy.Rego(s))
	if err != nil {
		t.Fatalf("%v in\n%s", err, policy.Rego(s))
	}
	if got := len(module.Rules); got != 7 {
		t.Fatalf("%d rules, want the 7 that are written:\n%s", got, policy.Rego(s))
	}
	c := ast.NewCompiler().WithStrict(true)
	if c.Compile(map[string]*ast.Module{"suggested.rego": module}); c.Failed() {
		t.Fatal(c.Errors)
	}
	set, err := cedar.NewPolicySetFromBytes("suggested.cedar", []byte(policy.Cedar(s)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, policy.Cedar(s))
	}
	want, got := 0, 0
	for _, a := range s.Servers {
		want += min(len(a.Tools), 1) + min(len(a.Scopes), 1)
	}
	for range set.All() {
		got++
	}
	if got != want {
		t.Fatalf("%d policies, want %d:\n%s", got, want, policy.Cedar(s))
	}
	return &engines{t, c, set}
}

// ask asks both, which must agree.
func (e *engines) ask(q question) bool {
	e.Helper()
	rule, action := "allow", "call"
	record := cedar.RecordMap{"iss": cedar.String(q.iss)}
	if q.tool == "" {
		rule, action = "may_hold", "hold"
		var scopes []cedar.Value
		for _, s := range q.scopes {
			scopes = append(scopes, cedar.String(s))
		}
		record["scope"] = cedar.NewSet(scopes...)
	} else {
		record["tool"] = cedar.String(q.tool)
	}
	input := map[string]any{
		"subject": map[string]any{"id": q.sub, "properties": map[string]any{"iss": q.iss}}, "resource": map[string]any{"id": q.server},
		"action": map[string]any{"name": q.tool}, "context": map[string]any{"scope": q.scopes},
	}
	result, err := rego.New(rego.Query("data.custody.suggested."+rule), rego.Compiler(e.rego), rego.Input(input)).Eval(e.Context())
	if err != nil || len(result) != 1 {
		e.Fatalf("%+v: %v %v", q, result, err)
	}
	decision, diagnostic := cedar.Authorize(e.cedar, cedar.EntityMap{}, cedar.Request{
		Principal: cedar.NewEntityUID("Identity", cedar.String(q.sub)), Action: cedar.NewEntityUID("Action", cedar.String(action)),
		Resource: cedar.NewEntityUID("Server", cedar.String(q.server)), Context: cedar.NewRecord(record),
	})
	if len(diagnostic.Errors) > 0 {
		e.Fatalf("%+v: %v", q, diagnostic.Errors)
	}
	byRego := result[0].Expressions[0].Value == true
	if byCedar := decision == cedar.Allow; byRego != byCedar {
		e.Errorf("%+v: Rego says %t, Cedar %t", q, byRego, byCedar)
	}
	return byRego
}

// hostile are names that would say something if they were not quoted.
var hostile = []string{
	"plain", `"`, `\`, `\"`, `"]}` + "\nallow := true\n#", "`", "\n}\nallow if true\n", "x\", \"y", `"].contains(context.tool) || true };` + "\npermit (principal, action, resource);//",
	"\x00", "\x7f", "\u2028allow := true", "\r\nallow := true", "*/ allow /*", "//", "#", "${x}", "{{x}}", "\u202eevil", "😀", "\t", `\u{41}`, `\u0041`, "", " ",
}

// A draft allows what it names and nothing else, whatever the names are.
func TestNamesSayNothing(t *testing.T) {
	t.Parallel()
	for _, name := range hostile {
		for _, other := range []string{"plain", "other", `"`} {
			checkNames(t, name, other)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, "other")
	}
	f.Fuzz(func(t *testing.T, name, other string) {
		checkNames(t, strings.ToValidUTF8(name, "?"), strings.ToValidUTF8(other, "?")) // an event has no other text
	})
}

// checkNames uses a name as each part, and asks with another one.
func checkNames(t *testing.T, name, other string) {
	t.Helper()
	e := load(t, &query.Suggestion{Identity: name, Iss: name, Servers: []query.Allowed{{Server: name, Tools: []string{name, "fixed"}, Scopes: []string{name, "fixed"}}}})
	right := question{iss: name, sub: name, server: name, tool: "fixed"}
	for _, c := range []struct {
		change func(*question)
		want   bool
	}{
		{func(*question) {}, true},
		{func(q *question) { q.iss = other }, other == name},
		{func(q *question) { q.sub = other }, other == name},
		{func(q *question) { q.server = other }, other == name},
		{func(q *question) { q.tool = "never" }, name == "never"},
		{func(q *question) { q.tool, q.scopes = "", []string{"fixed", name} }, true},
		{func(q *question) { q.tool, q.scopes = "", []string{"fixed", other} }, other == name || other == "fixed"},
		{func(q *question) { q.tool, q.scopes, q.sub = "", []string{"fixed"}, other }, other == name},
	} {
		q := right
		c.change(&q)
		if got := e.ask(q); got != c.want {
			t.Errorf("of %q, %+v: %t, want %t", name, q, got, c.want)
		}
	}
}

// What nobody is allowed at all is a draft too.
func TestNothing(t *testing.T) {
	t.Parallel()
	e := load(t, &query.Suggestion{Identity: "planner", Servers: []query.Allowed{{Server: "git", Tools: []string{}, Scopes: []string{"read"}}}})
	for _, q := range []question{{sub: "planner", server: "git", tool: "read"}, {sub: "planner", server: "git", scopes: []string{"write"}}, {sub: "planner", server: "other", scopes: []string{"read"}}} {
		if e.ask(q) {
			t.Errorf("%+v is allowed", q)
		}
	}
	if !e.ask(question{sub: "planner", server: "git", scopes: []string{"read"}}) {
		t.Error("what is used is not allowed")
	}
}
