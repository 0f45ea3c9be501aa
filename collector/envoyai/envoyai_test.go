package envoyai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

func parse(t *testing.T, members string) *event.Event {
	t.Helper()
	events, err := Parse([]byte(`{"start_time":"2026-08-21T10:32:08.123Z","mcp.session.id":"s1"` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(events) == 0 {
		return &event.Event{}
	}
	return events[0]
}

const (
	called = `,"mcp.method.name":"tools/call","mcp.tool.name":"merge"`
	call   = called + `,"response_code":200`
)

func TestOutcomes(t *testing.T) {
	check := func(code string, want event.Outcome, errorCode string) {
		t.Helper()
		got := parse(t, called+`,"response_code":`+code)
		if got.Outcome != want || got.Tool.ErrorCode != errorCode {
			t.Errorf("%s: got %s, code %q", code, got.Outcome, got.Tool.ErrorCode)
		}
	}
	check(`200`, event.Success, "")
	check(`"202"`, event.Success, "")
	check(`401`, event.Denied, "401")
	check(`403`, event.Denied, "403")
	check(`404`, event.Error, "404")
	check(`503`, event.Error, "503")
	check(`0`, event.Error, "0")
	check(`null`, event.Error, "")
	check(`"-"`, event.Error, "")
}

// A call that the proxy refused has no method in the log; its denial is inferred.
func TestRefused(t *testing.T) {
	check := func(members string, want event.Kind) {
		t.Helper()
		if got := parse(t, members).Kind; got != want {
			t.Errorf("%s: got %q, want %q", members, got, want)
		}
	}
	check(`,"response_code":403`, event.PermissionDecision)
	check(`,"response_code":401`, event.PermissionDecision)
	check(`,"response_code":200`, "")
	check(`,"response_code":404`, "")
	check(`,"response_code":403,"mcp.session.id":null`, "")
	check(`,"response_code":403,"gen_ai.request.model":"m"`, "")
	check(`,"response_code":403,"mcp.method.name":"ping"`, "")
	got := parse(t, `,"response_code":403,"x-envoy-origin-path":"/mcp?key=hunter2"`)
	want := event.Decision{Effect: event.Deny, Engine: "envoy-ai-gateway", Inferred: true, Reason: "HTTP 403", Resource: "/mcp"}
	if diff := cmp.Diff(want, got.Decision); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDelegation(t *testing.T) {
	check := func(act string, chain []event.Link, malformed string, truncated bool) {
		t.Helper()
		got := parse(t, call+`,"jwt.sub":"alice","jwt.act":`+act)
		diff := cmp.Diff([]any{chain, malformed, truncated}, []any{got.Chain, got.ChainMalformed, got.ChainTruncated})
		if diff != "" {
			t.Errorf("%.60s (-want +got):\n%s", act, diff)
		}
		if (malformed != "" || truncated) != (len(got.Warnings) > 0) {
			t.Errorf("%.60s: warnings %q", act, got.Warnings)
		}
	}
	two := []event.Link{{Sub: "planner"}, {Iss: "i", Sub: "gateway"}}
	check(`{"sub":"planner","act":{"iss":"i","sub":"gateway"}}`, two, "", false)
	check(`"{\"sub\":\"planner\",\"act\":{\"iss\":\"i\",\"sub\":\"gateway\"}}"`, two, "", false)
	check(`"eyJzdWIiOiJwbGFubmVyIiwiYWN0Ijp7ImlzcyI6ImkiLCJzdWIiOiJnYXRld2F5In19"`, two, "", false)
	check(`null`, nil, "", false)
	check(`"-"`, nil, "", false)
	check(`"rubbish"`, nil, "act is not JSON", false)
	check(`{}`, nil, "act at depth 1 names nobody", false)
	check(`{"sub":"planner","act":"x"}`, []event.Link{{Sub: "planner"}}, "act at depth 2 is no object", false)
	deep := strings.Repeat(`{"sub":"a","act":`, event.MaxChain+1) + `null` + strings.Repeat(`}`, event.MaxChain+1)
	if got := parse(t, call+`,"jwt.sub":"alice","jwt.act":`+deep); len(got.Chain) != event.MaxChain || !got.ChainTruncated || len(got.Warnings) != 1 {
		t.Errorf("got %d links, truncated %v, %q", len(got.Chain), got.ChainTruncated, got.Warnings)
	}
}

func TestClientAddress(t *testing.T) {
	check := func(seen, forwarded, want string) {
		t.Helper()
		got := parse(t, call+fmt.Sprintf(`,"downstream_remote_address":%q,"x-forwarded-for":%q`, seen, forwarded)).ClientAddress
		if got != want {
			t.Errorf("%s, %s: got %q, want %q", seen, forwarded, got, want)
		}
	}
	check("203.0.113.9:5", "198.51.100.1", "203.0.113.9:5")
	check("127.0.0.1:5", "198.51.100.1, 203.0.113.9", "203.0.113.9")
	check("127.0.0.1:5", "203.0.113.9, 127.0.0.1", "203.0.113.9")
	check("[::1]:5", "2001:db8::1", "2001:db8::1")
	check("envoy://internal_client_address/", "203.0.113.9", "203.0.113.9")
	check("127.0.0.1:5", "-", "")
	check("-", "rubbish", "")
}

// A hash is taken in any form; what is none may be the token and is not kept.
func TestTokenHash(t *testing.T) {
	want := event.TokenRef("test")
	for _, given := range []string{want, "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"} {
		if got := parse(t, call+`,"token.sha256":"`+given+`"`); got.Token.Ref != want {
			t.Errorf("%s: got %s", given, got.Token.Ref)
		}
	}
	got := parse(t, call+`,"token.sha256":"the-token-itself"`)
	if got.Token.Ref != "" || strings.Contains(string(got.Canonical()), "the-token-itself") {
		t.Errorf("got %s", got.Canonical())
	}
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		`{"start_time":"2026-08-21T10:32:08.123Z","mcp.method.name":"tools/call","mcp.tool.name":"x","response_code":200,"jwt.sub":"a","jwt.act":{"sub":"p"},"jwt.aud":"eyJ","jwt.exp":1,"token.sha256":"00"}`,
		`{"start_time":"2026-08-21T10:32:08Z","mcp.session.id":"s","response_code":"403","x-forwarded-for":"1.2.3.4"}`)
}
