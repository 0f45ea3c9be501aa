package agentgateway

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

const head = `{"scope":"request","time":"2026-11-02T09:00:00.250417Z","mcp.method.name":"tools/call","mcp.target":"deploy-mcp","gen_ai.tool.name":"deploy"`

func parse(t *testing.T, members string) []*event.Event {
	t.Helper()
	events, err := Parse([]byte(head + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// Who refused, and whether a refusal is a decision at all.
func TestRefusals(t *testing.T) {
	check := func(members string, outcome event.Outcome, engine string, warnings int) {
		t.Helper()
		events := parse(t, `,"jwt.sub":"alice"`+members)
		if got := events[0].Outcome; got != outcome || len(events[0].Warnings) != warnings {
			t.Errorf("%s: %s", members, events[0].Canonical())
		}
		got := ""
		if len(events) == 2 {
			d := events[1].Decision
			if got = d.Engine; (d.Effect == event.Deny) != (outcome == event.Denied) || !d.Inferred || d.Resource != "deploy" {
				t.Errorf("%s: %s", members, events[1].Canonical())
			}
		}
		if got != engine {
			t.Errorf("%s: decided by %q, want %q", members, got, engine)
		}
	}
	check(``, event.Success, "", 0)
	check(`,"http.status":400,"reason":"MCP","error":"mcp: Unknown tool: deploy"`, event.Denied, "agentgateway", 1)
	check(`,"http.status":400,"reason":"MCP","error":"mcp: Unknown resource: deploy"`, event.Denied, "agentgateway", 1)
	check(`,"reason":"MCP","mcp.error.code":-32602,"mcp.error.message":"Unknown tool: deploy"`, event.Denied, "agentgateway", 1)
	check(`,"reason":"MCP","mcp.error.code":-32602`, event.Denied, "agentgateway", 1)
	check(`,"reason":"MCP","error":"mcp: mcpGuardrails rejected: no"`, event.Denied, "mcpGuardrails", 0)
	check(`,"reason":"Authorization","http.status":403,"error":"authorization failed"`, event.Denied, "agentgateway", 0)
	check(`,"reason":"ExtAuth","http.status":403,"error":"external authorization failed"`, event.Denied, "agentgateway", 1)
	check(`,"reason":"ExtAuth","http.status":503,"error":"external authorization failed"`, event.Error, "agentgateway", 0)
	check(`,"reason":"ExtAuth","http.status":302`, event.Success, "", 0) // a redirect to the login
	check(`,"reason":"MCP","http.status":400,"error":"mcp: invalid request parameters: Unknown tool: x"`, event.Error, "", 0)
	check(`,"reason":"MCP","http.status":400,"error":"mcp: Unknown region: eu"`, event.Error, "", 0)
	check(`,"mcp.error.code":-32602,"mcp.error.message":"Unknown tool: deploy"`, event.Error, "", 0) // the server's own answer
	check(`,"http.status":403`, event.Denied, "", 0)                                                 // the server's own answer
	check(`,"reason":"RateLimit","http.status":429`, event.Error, "", 0)
	check(`,"mcp.error.code":0`, event.Success, "", 0)
}

// The hash that CEL writes gives the reference that every other collector gives.
func TestTokenRef(t *testing.T) {
	const token = "an-opaque-access-token"
	sum := sha256.Sum256([]byte(token))
	want := event.TokenRef(token)
	check := func(given, want string, warnings int) {
		t.Helper()
		e := parse(t, `,"jwt.sub":"alice","token.sha256":"`+given+`"`)[0]
		if e.Token.Ref != want || len(e.Warnings) != warnings {
			t.Errorf("%s: %s", given, e.Canonical())
		}
	}
	check(hex.EncodeToString(sum[:]), want, 0)
	check(strings.ToUpper(hex.EncodeToString(sum[:])), want, 0)
	check("sha256:"+hex.EncodeToString(sum[:]), want, 0)
	check(base64.StdEncoding.EncodeToString(sum[:]), want, 0)
	check(want, want, 0)
	check(token, want, 1)        // the token itself
	check("[redacted]", "", 1)   // what redaction left of one
	check("Bearer a b c", "", 1) // no token
}

func TestTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-02T09:00:00.250417Z":      "2026-11-02T09:00:00.250417Z",
		"2026-11-02T09:00:00.417Z":         "2026-11-02T09:00:00.000417Z", // its own writing has no leading zeros
		"2026-11-02T09:00:00.0Z":           "2026-11-02T09:00:00.000000Z",
		"2026-11-02T09:00:00Z":             "2026-11-02T09:00:00.000000Z",
		"2026-11-02T09:00:00.250417123Z":   "2026-11-02T09:00:00.250417Z",
		"2026-11-02T10:00:00.250417+01:00": "2026-11-02T09:00:00.250417Z",
	} {
		if got, err := parseTime(in); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", ".5Z", "2026-11-02T09:00:00.-1Z", "2026-11-02", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"} {
		if got, err := parseTime(in); err == nil {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestChain(t *testing.T) {
	check := func(act, actor, links, malformed string) {
		t.Helper()
		e := parse(t, `,"jwt.sub":"alice","src.identity":"spiffe://acme.example/planner","jwt.act":`+act)[0]
		var subs []string
		for _, l := range e.Chain {
			subs = append(subs, l.Sub)
		}
		if e.Actor.Sub != actor || strings.Join(subs, " ") != links || e.ChainMalformed != malformed || (malformed != "") != (len(e.Warnings) > 0) {
			t.Errorf("%s: %s", act, e.Canonical())
		}
	}
	check(`null`, "spiffe://acme.example/planner", "", "")
	check(`{"sub":"b","act":{"iss":"https://sts","sub":"a"}}`, "b", "b a", "")
	check(`"{\"sub\":\"b\"}"`, "b", "b", "")
	check(`"b"`, "", "", "act at depth 1 is no object")
	check(`{"sub":"b","act":[]}`, "b", "b", "act at depth 2 is no object")
	check(`{"sub":"b","act":{}}`, "b", "b", "act at depth 2 names nobody")
}

// The claims may come one by one or all in one; what is given singly counts.
func TestClaims(t *testing.T) {
	e := parse(t, `,"jwt":{"sub":"bob","iss":"https://sts","aud":"a","scp":["x","y"],"exp":1793611501,"client_id":"c"},"jwt.sub":"alice"`)[0]
	if e.Subject.Sub != "alice" || e.Subject.Iss != "https://sts" || strings.Join(e.Token.Scope, " ") != "x y" || e.Token.Audience[0] != "a" ||
		e.Token.ExpiresAt.String() != "2026-11-02T09:25:01.000000Z" || e.Token.Verified != event.TokenVerified || e.Client.ID != "c" || !e.Client.Verified {
		t.Errorf("got %s", e.Canonical())
	}
	if e := parse(t, ``)[0]; e.Token.Verified != "" || len(e.Warnings) != 1 {
		t.Errorf("no claims: %s", e.Canonical())
	}
}

func TestRefusedEntries(t *testing.T) {
	for in, field := range map[string]string{
		`{`: "", `{}`: "scope", `{"scope":"request"}`: "time", `{"scope":"request","time":"now"}`: "time", `{"scope":1}`: "scope",
		head + `,"http.status":"200"}`: "http.status", head + `,"jwt":"alice"}`: "jwt", head + `,"error":{}}`: "error",
	} {
		if events, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, %v", in, events, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		head+`,"jwt.act":{"sub":"b","act":{"sub":"a"}},"jwt.exp":1793611501,"token.sha256":"aa","reason":"MCP","error":"mcp: Unknown tool: x","duration":"1ms"}`,
		head+`,"jwt":{"sub":"a","aud":["b"],"scope":"c d","exp":1e300,"act":"x"},"mcp.error.code":-32602,"http.status":401}`)
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }
