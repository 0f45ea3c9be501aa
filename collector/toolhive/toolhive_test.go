package toolhive

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

const head = `"type":"mcp_tool_call","component":"github-mcp","target":{"method":"tools/call","name":"merge"},"subjects":{"user":"anonymous","user_id":"alice"}`

func parse(t *testing.T, members string) []*event.Event {
	t.Helper()
	events, err := Parse([]byte(`{` + head + `,` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// Both forms of one event say the same.
func TestForms(t *testing.T) {
	const rest = `,"outcome":"denied","source":{"type":"network","value":"10.0.0.7"},"delegation":{"chain":[{"sub":"planner"}],"truncated":false,"omitted":0,"malformed":false}`
	line := parse(t, `"msg":"audit_event","level":"AUDIT","time":"2026-11-02T09:00:01Z","audit_id":"a1","logged_at":"2026-11-02T09:00:00.25Z","metadata":{"extra":{"duration_ms":7}}`+rest)
	object := parse(t, `"loggedAt":"2026-11-02T10:00:00.25+01:00","metadata":{"auditId":"a1","extra":{"duration_ms":7}}`+rest)
	if diff := cmp.Diff(line, object, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-line +object):\n%s", diff)
	}
	call, decision := line[0], line[1]
	if call.Time.String() != "2026-11-02T09:00:00.250000Z" || call.Source.EventID != "a1" || decision.Source.EventID != "a1/1" {
		t.Errorf("got %s\n%s", call.Canonical(), decision.Canonical())
	}
	if call.Correlation.DecisionID != decision.Decision.ID || !decision.Decision.Inferred || decision.Decision.Effect != event.Deny {
		t.Errorf("the call does not name its decision:\n%s\n%s", call.Canonical(), decision.Canonical())
	}
}

func TestOutcomes(t *testing.T) {
	for outcome, want := range map[string]event.Outcome{
		"success": event.Success, "failure": event.Error, "error": event.Error, "application_error": event.Error, "denied": event.Denied,
	} {
		events := parse(t, `"logged_at":"2026-11-02T09:00:00Z","outcome":"`+outcome+`"`)
		if got := events[0].Outcome; got != want {
			t.Errorf("%s: got %s, want %s", outcome, got, want)
		}
		if denied := len(events) == 2; denied != (want == event.Denied) {
			t.Errorf("%s: %d events", outcome, len(events))
		}
	}
}

func TestDelegation(t *testing.T) {
	check := func(name, delegation, actor, links, malformed string, truncated bool, warnings int) {
		t.Helper()
		e := parse(t, `"logged_at":"2026-11-02T09:00:00Z","outcome":"success","delegation":`+delegation)[0]
		var subs []string
		for _, l := range e.Chain {
			subs = append(subs, l.Sub)
		}
		if e.Actor.Sub != actor || strings.Join(subs, " ") != links || e.ChainMalformed != malformed || e.ChainTruncated != truncated || len(e.Warnings) != warnings {
			t.Errorf("%s: %s", name, e.Canonical())
		}
	}
	check("none", `null`, "", "", "", false, 0)
	check("two", `{"chain":[{"sub":"b"},{"iss":"https://sts","sub":"a"}]}`, "b", "b a", "", false, 0)
	check("truncated", `{"chain":[{"sub":"b"}],"truncated":true,"omitted":2}`, "b", "b", "", true, 1)
	check("unreadable", `{"chain":[],"malformed":true,"malformedReason":"act_not_object"}`, "", "", "act_not_object", false, 1)
	check("unreadable without reason", `{"chain":null,"malformed":true}`, "", "", "malformed", false, 1)
	check("current actor unknown", `{"chain":[{},{"sub":"a"}]}`, "", "", "actor 1 names nobody", false, 1)
	check("earlier actor unknown", `{"chain":[{"sub":"b"},{},{"sub":"a"}],"malformed":true,"malformedReason":"sub_not_string"}`, "b", "b", "sub_not_string", false, 2)
}

// What was said stays out: of the arguments come names and a hash, of the result nothing.
func TestContentsStayOut(t *testing.T) {
	e := parse(t, `"logged_at":"2026-11-02T09:00:00Z","outcome":"success","data":{
		"request":{"id":3,"params":{"arguments":{"zip":"canary-1","account":{"owner":"canary-2"}}}},
		"response":{"result":{"isError":true,"content":"canary-3"}}}`)[0]
	want := event.Tool{Name: "merge", ServerMethod: "tools/call", ResultStatus: "tool_error", ArgumentNames: []string{"account", "zip"},
		ArgumentsHash: hash(map[string]any{"zip": "canary-1", "account": map[string]any{"owner": "canary-2"}}), RequestBytes: 63}
	if diff := cmp.Diff(want, e.Tool); diff != "" || e.Outcome != event.Failure || e.Correlation.JSONRPCID != "3" {
		t.Errorf("%s (-want +got):\n%s", e.Outcome, diff)
	}
	if strings.Contains(string(e.Canonical()), "canary") {
		t.Errorf("a value is kept: %s", e.Canonical())
	}
}

func TestRefused(t *testing.T) {
	for in, field := range map[string]string{
		`{`:  "",
		`{}`: "",
		`{"type":"mcp_tool_call","outcome":"success"}`:                                             "logged_at",
		`{"type":"mcp_tool_call","outcome":"success","logged_at":"yesterday"}`:                     "logged_at",
		`{"outcome":"success","logged_at":"2026-11-02T09:00:00Z"}`:                                 "type",
		`{"type":"mcp_tool_call","outcome":"maybe","logged_at":"2026-11-02T09:00:00Z"}`:            "outcome",
		`{"type":"x","outcome":"success","logged_at":"2026-11-02T09:00:00Z","subjects":"alice"}`:   "subjects",
		`{"type":"x","outcome":"success","logged_at":"2026-11-02T09:00:00Z","target":{"name":{}}}`: "name",
	} {
		if events, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, %v", in, events, err)
		}
	}
}

func TestIgnored(t *testing.T) {
	for _, in := range []string{
		`{"msg":"starting proxy","level":"INFO","time":"2026-11-02T09:00:00Z"}`,
		`{"type":"mcp_ping","outcome":"success","logged_at":"2026-11-02T09:00:00Z"}`,
		`{"type":"of_a_later_release","outcome":"success","logged_at":"2026-11-02T09:00:00Z"}`,
		`{"type":"vmcp_workflow_started","outcome":"success","logged_at":"2026-11-02T09:00:00Z"}`, // of no workflow
	} {
		if events, err := Parse([]byte(in)); err != nil || len(events) > 0 {
			t.Errorf("%s: %v, %v", in, events, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	seed, err := json.Marshal(map[string]any{"type": "mcp_tool_call", "outcome": "denied", "logged_at": "2026-11-02T09:00:00Z",
		"delegation": map[string]any{"chain": []any{map[string]any{"sub": "a"}}}, "metadata": map[string]any{"auditId": "a", "extra": map[string]any{"duration_ms": 1}},
		"data": map[string]any{"request": map[string]any{"params": map[string]any{"arguments": map[string]any{"a": 1}}}}})
	if err != nil {
		f.Fatal(err)
	}
	collectortest.Fuzz(f, Parse, string(seed), `{"type":"vmcp_workflow_step_started","outcome":"success","loggedAt":"2026-11-02T09:00:00Z","target":{"tool_name":"t"}}`)
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }
