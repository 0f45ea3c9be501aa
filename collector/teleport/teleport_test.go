package teleport

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		`{"event":"mcp.session.start","time":"2026-11-02T09:00:00Z","user":"a","user_kind":2,"bot_name":"b","impersonator":"c","sid":"s","app_uri":"mcp+https://u:p@h/x?y","client_info":"a/b/c"}`,
		`{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","user":"a","sid":"s","success":false,"error":"HTTP 401 x?y","message":{"id":"int64:1","method":"tools/call","params":{"name":"n","arguments":{"b":1,"a":[]},"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}},"headers":{"Authorization":["Bearer x"],"authorization":["y"]}}`)
}

// request is a tools/call with these members beside.
func request(t *testing.T, members string) *event.Event {
	t.Helper()
	return parse(t, `{"event":"mcp.session.request","uid":"u","time":"2026-11-02T09:00:00Z","cluster_name":"c","user":"alice","sid":"s","app_name":"app",
		"message":{"id":"int64:1","method":"tools/call","params":{"name":"merge"}}`+members+`}`)
}

func parse(t *testing.T, record string) *event.Event {
	t.Helper()
	events, err := Parse([]byte(record))
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events[0]
}

func TestOutcomes(t *testing.T) {
	check := func(members string, outcome event.Outcome, effect event.Effect, code string) {
		t.Helper()
		e := request(t, members)
		if e.Outcome != outcome || e.Decision.Effect != effect || e.Tool.ErrorCode != code {
			t.Errorf("%s: got %s, effect %q, code %q", members, e.Outcome, e.Decision.Effect, e.Tool.ErrorCode)
		}
	}
	check(`,"success":true`, event.Success, "", "")
	check(`,"success":false,"error":"access denied"`, event.Denied, event.Deny, "")
	check(`,"success":false,"error":"access to app denied. User does not have permissions."`, event.Denied, event.Deny, "")
	check(`,"success":false,"error":"access to resource requires MFA"`, event.Denied, event.Deny, "")
	check(`,"success":false,"error":"HTTP 401 Unauthorized"`, event.Denied, "", "401") // the MCP server's, not Teleport's
	check(`,"success":false,"error":"HTTP 404 Not Found"`, event.Error, "", "404")
	check(`,"success":false,"error":"connection refused"`, event.Error, "", "")
	check(`,"success":false`, event.Error, "", "")
	check(`,"code":"TMCP003E"`, event.Error, "", "")
	check(`,"code":"TMCP003I"`, event.Success, "", "")
}

// What the tool answered is not in the record.
func TestAllowedIsNoResult(t *testing.T) {
	if e := request(t, `,"success":true`); e.Tool.ResultStatus != "" || e.Decision.Effect != "" {
		t.Errorf("got %s", e.Canonical())
	}
}

func TestParties(t *testing.T) {
	check := func(members string, subject, actor event.Party) {
		t.Helper()
		e := parse(t, `{"event":"mcp.session.start","uid":"u","time":"2026-11-02T09:00:00Z","cluster_name":"leaf","sid":"s"`+members+`}`)
		if diff := cmp.Diff([]event.Party{subject, actor}, []event.Party{e.Subject, e.Actor}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", members, diff)
		}
		if chained := len(e.Chain) == 1; chained != (actor.Sub != "") {
			t.Errorf("%s: chain %v", members, e.Chain)
		}
	}
	human := event.Party{Iss: "leaf", Sub: "alice", Type: event.Human}
	check(`,"user":"alice","user_kind":1`, human, event.Party{})
	check(`,"user":"alice","user_kind":1,"user_cluster_name":"root"`, event.Party{Iss: "root", Sub: "alice", Type: event.Human}, event.Party{})
	check(`,"user":"alice"`, event.Party{Iss: "leaf", Sub: "alice"}, event.Party{}) // an old cluster says no kind
	check(`,"user":"alice","user_kind":1,"impersonator":"ci"`, human, event.Party{Iss: "leaf", Sub: "ci"})
	check(`,"user":"bot-ci","user_kind":2,"bot_name":"ci","impersonator":"bot-ci"`, event.Party{Iss: "leaf", Sub: "bot-ci", Type: event.Workload, Name: "ci"}, event.Party{})
	check(`,"user":"alice","user_kind":2,"bot_name":"ci","impersonator":"bot-ci"`,
		event.Party{Iss: "leaf", Sub: "alice"}, event.Party{Iss: "leaf", Sub: "bot-ci", Type: event.Workload, Name: "ci"})
	check(`,"user":"anonymous"`, event.Party{}, event.Party{})
	check(``, event.Party{}, event.Party{})
}

// Teleport sends numbers as doubles; the hash is that of what the client sent.
func TestArgumentsHash(t *testing.T) {
	hash := func(arguments string) string {
		t.Helper()
		return parse(t, `{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","message":{"method":"tools/call","params":{"name":"x","arguments":`+arguments+`}}}`).Tool.ArgumentsHash
	}
	if a, b := hash(`{"b":17,"a":"é"}`), hash(`{ "a": "\u00e9", "b": 1.7e1 }`); a != b || a == "" {
		t.Errorf("got %q and %q", a, b)
	}
}

func TestNoValueComesThrough(t *testing.T) {
	const secret = "hunter2-hunter2"
	for _, record := range []string{
		`{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","user":"a","message":{"method":"tools/call","params":{"name":"x","arguments":{"p":"` + secret + `"},"other":"` + secret + `"}}}`,
		`{"event":"mcp.session.invalid_http_request","time":"2026-11-02T09:00:00Z","user":"a","sid":"s","path":"/` + secret + `","raw_query":"` + secret + `","body":"` + secret + `",
			"headers":{"Authorization":["Bearer ` + secret + secret + `"],"Cookie":["` + secret + `"],"X-Api-Key":["` + secret + `"]},"user_traits":{"a":["` + secret + `"]}}`,
		`{"event":"mcp.session.start","time":"2026-11-02T09:00:00Z","user":"a","sid":"s","app_uri":"https://u:` + secret + `@h/x?k=` + secret + `#` + secret + `"}`,
	} {
		if got := string(parse(t, record).Canonical()); strings.Contains(got, secret) {
			t.Errorf("%s", got)
		}
	}
}

func TestBearerBecomesReference(t *testing.T) {
	const bearer = "1f9d7c2a6b5e4d3c2b1a0f9e8d7c6b5a"
	check := func(header, ref string, warnings int) {
		t.Helper()
		h, _ := json.Marshal(map[string][]string{"Authorization": {header}})
		e := request(t, `,"success":true,"headers":`+string(h))
		if e.Token.Ref != ref || len(e.Warnings) != warnings {
			t.Errorf("%s: got %s", header, e.Canonical())
		}
	}
	check("Bearer "+bearer, event.TokenRef(bearer), 1)
	check("bearer "+event.TokenRef(bearer), event.TokenRef(bearer), 0) // as redaction leaves it
	check("<REDACTED>", "", 0)
	check("[redacted]", "", 0)
	check("Bearer short", "", 1)
	check("Basic "+bearer, "", 1)
	check("", "", 1)
}

func TestHostileTexts(t *testing.T) {
	long := strings.Repeat("x", event.MaxString+1)
	e := request(t, `,"success":true,"user_roles":["`+long+`"],"error":"","headers":{"User-Agent":["`+long+`"]}`)
	if len(e.UserAgent) > event.MaxString || len(e.Attributes["teleport.roles"]) > event.MaxString || len(e.Warnings) != 2 {
		t.Errorf("%d, %d, %q", len(e.UserAgent), len(e.Attributes["teleport.roles"]), e.Warnings)
	}
	for method, want := range map[string]string{"tools/call": "mcp.tools.call", "logging/setLevel": "mcp.logging.setlevel", "a b": "mcp.request", "é": "mcp.request", long: "mcp.request"} {
		if got := methodType(method); got != want {
			t.Errorf("%.20s: got %s", method, got)
		}
	}
}

// A client cannot keep its call out of the record by the size of what it sends.
func TestOversize(t *testing.T) {
	members := map[string]int{}
	for i := range 2 * event.MaxList {
		members[strings.Repeat("x", event.MaxString)+string(rune('a'+i%26))+strings.Repeat("y", i)] = i
	}
	arguments, _ := json.Marshal(members)
	e := parse(t, `{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","user":"a","message":{"method":"tools/call","params":{"name":"x","arguments":`+string(arguments)+`}}}`)
	if size := len(e.Canonical()); size > 64<<10 || len(e.Warnings) == 0 || e.Warnings[0] != "tool.argument_names cut: 512 entries, 7 kept" {
		t.Errorf("%d bytes, %q", size, e.Warnings)
	}
}

func TestRefused(t *testing.T) {
	want := map[string]string{
		`{`:                             `decode audit event: not JSON at byte 1`,
		`1`:                             `want an object`,
		`{}`:                            `event: is required`,
		`{"event":"mcp.session.start"}`: `time: is required; sid: is required`,
		`{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z"}`:                              `message.method: is required`,
		`{"event":"mcp.session.request","time":"secret","message":{"method":"x"}}`:                   `time: want an RFC 3339 time after 1970`,
		`{"event":"mcp.session.request","time":"1960-01-01T00:00:00Z","message":{"method":"x"}}`:     `time: want an RFC 3339 time after 1970`,
		`{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","message":{"method":12345}}`:   `message.method: want a string`,
		`{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","access_requests":"secret"}`:   `access_requests: want an array`,
		`{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","success":"secret"}`:           `success: want true or false`,
		`{"event":"mcp.session.request","time":"2026-11-02T09:00:00Z","headers":{"A":["secret",1]}}`: `headers: want a string`,
	}
	got := map[string]string{}
	for record := range maps.Keys(want) {
		_, err := Parse([]byte(record))
		got[record] = ""
		if err != nil {
			got[record] = err.Error()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, record := range []string{`{"event":"user.login"}`, `{"event":"mcp"}`} {
		if events, err := Parse([]byte(record)); events != nil || err != nil {
			t.Errorf("%s: got %d events, %v", record, len(events), err)
		}
	}
}
