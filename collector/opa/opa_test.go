package opa

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

func parse(t *testing.T, entry string) *event.Event {
	t.Helper()
	events, err := Parse([]byte(entry))
	if err != nil {
		t.Fatal(err)
	}
	return events[0]
}

func TestEntryWithCustodyNames(t *testing.T) {
	ref := event.TokenRef("x")
	got := parse(t, `{"decision_id":"d1","timestamp":"2026-10-05T09:00:00.5Z","path":"mcp/allow","bundles":{"authz":{"revision":"7"}},
		"result":{"allow":false,"reason":"scope missing"},"requested_by":"127.0.0.1:5","masked":["/input/secret"],"labels":{"id":"x"},
		"input":{"subject":{"iss":"https://idp","sub":"alice","type":"human"},"actor":{"sub":"planner","type":"agent"},
			"server":{"id":"github-mcp","uri":"https://github-mcp/mcp"},"tool":{"name":"merge"},"action":{"name":"tools/call"},
			"token":{"ref":"`+ref+`","scope":"repo:read repo:write","aud":["https://github-mcp/mcp"]},
			"correlation":{"trace_id":"0af7651916cd43dd8448eb211c80319c","jsonrpc_id":3,"task_id":"t1"}}}`)
	want := &event.Event{
		Kind: event.PermissionDecision, Type: "opa.decision", Time: 1791190800500000, Outcome: event.Denied,
		Source:        event.Source{EventID: "d1"},
		ClientAddress: "127.0.0.1:5",
		Subject:       event.Party{Iss: "https://idp", Sub: "alice", Type: event.Human},
		Actor:         event.Party{Sub: "planner", Type: event.Agent},
		Server:        event.Server{ID: "github-mcp", URI: "https://github-mcp/mcp"},
		Tool:          event.Tool{Name: "merge"},
		Token:         event.Token{Ref: ref, Scope: []string{"repo:read", "repo:write"}, Audience: []string{"https://github-mcp/mcp"}},
		Decision:      event.Decision{ID: "d1", Effect: event.Deny, Engine: "opa", Policy: "mcp/allow", PolicyVersion: "authz@7", Reason: "scope missing", Action: "tools/call"},
		Correlation:   event.Correlation{TraceID: "0af7651916cd43dd8448eb211c80319c", JSONRPCID: "3", TaskID: "t1"},
		Warnings:      []string{"removed by OPA's mask: /input/secret"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEntryWithAuthZENNames(t *testing.T) {
	got := parse(t, `{"decision_id":"d1","timestamp":"2026-10-05T09:00:00Z","path":"authz","result":true,
		"input":{"subject":{"type":"user","id":"alice"},"action":{"name":"call"},"resource":{"type":"tool","id":"merge"},
			"context":{"server":"github-mcp","actor":"planner","trace_id":"0af7651916cd43dd8448eb211c80319c"}}}`)
	if got.Subject.Sub != "alice" || got.Subject.Type != event.Human || got.Tool.Name != "merge" || got.Server.ID != "github-mcp" ||
		got.Actor.Sub != "planner" || got.Correlation.TraceID == "" || got.Decision.Effect != event.Allow {
		t.Errorf("got %s", got.Canonical())
	}
}

func TestAnswers(t *testing.T) {
	check := func(members string, want event.Effect) {
		t.Helper()
		if got := parse(t, `{"decision_id":"d","timestamp":"2026-10-05T09:00:00Z"`+members+`}`).Decision.Effect; got != want {
			t.Errorf("%s: got %s, want %s", members, got, want)
		}
	}
	check(`,"result":true`, event.Allow)
	check(`,"result":false`, event.Deny)
	check(`,"result":"true"`, event.Allow)
	check(`,"result":{"allow":true}`, event.Allow)
	check(`,"result":{"decision":false}`, event.Deny)
	check(`,"result":{"other":1}`, event.NotApplicable)
	check(`,"result":[1]`, event.NotApplicable)
	check(``, event.NotApplicable)
	check(`,"result":true,"error":{"code":"internal_error","message":"eval_conflict"}`, event.EffectError)
	check(`,"result":true,"error":null`, event.Allow)
}

// A token that somebody's policy input carries must not come through.
func TestTokenInInput(t *testing.T) {
	got := parse(t, `{"decision_id":"d","timestamp":"2026-10-05T09:00:00Z","result":true,"input":{"token":{"ref":"the-token"}}}`)
	if got.Token.Ref != event.TokenRef("the-token") || len(got.Warnings) != 1 {
		t.Errorf("got %s", got.Canonical())
	}
}

func TestRefusedEntries(t *testing.T) {
	for _, in := range []string{`1`, `{`, `{}`, `{"decision_id":"d"}`, `{"timestamp":"2026-10-05T09:00:00Z"}`, `{"decision_id":"d","timestamp":"now"}`} {
		if e, err := Parse([]byte(in)); err == nil {
			t.Errorf("%s became %s", in, e[0].Canonical())
		}
	}
}

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		`{"decision_id":"d","timestamp":"2026-10-05T09:00:00Z","result":{"allow":"true"},"input":{"subject":{"id":"a"},"token":{"scope":["a"]},"context":{}}}`)
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }
