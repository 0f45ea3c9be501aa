package kong

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

func parse(t *testing.T, record string) []*event.Event {
	t.Helper()
	events, err := Parse([]byte(record))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

const frame = `{"started_at":1785509788214,"request":{"id":"r1"},"response":{"status":%d},"consumer":{"id":"c1","username":"alice"},"ai":{"mcp":%s}}`

func TestOutcomes(t *testing.T) {
	check := func(status int, members string, want event.Outcome, result, code string) {
		t.Helper()
		got := parse(t, fmt.Sprintf(frame, status, `{"rpc":[{"method":"tools/call","tool_name":"merge"`+members+`}]}`))[0]
		diff := cmp.Diff([]string{string(want), result, code}, []string{string(got.Outcome), got.Tool.ResultStatus, got.Tool.ErrorCode})
		if diff != "" {
			t.Errorf("%d %s (-want +got):\n%s", status, members, diff)
		}
	}
	answer := func(text string) string {
		b, _ := json.Marshal(text)
		return `,"payload":{"response":` + string(b) + `}`
	}
	check(200, ``, event.Success, "", "") // without payload nobody knows whether the tool failed
	check(200, answer(`{"result":{"isError":false}}`), event.Success, "ok", "")
	check(200, answer(`{"result":{"isError":true}}`), event.Failure, "tool_error", "")
	check(200, answer(`{"error":{"code":-32603}}`), event.Error, "rpc_error", "-32603")
	check(200, answer(`no JSON`), event.Success, "", "")
	check(200, `,"error":"timed out"`, event.Error, "rpc_error", "")
	check(200, `,"error":null`, event.Success, "", "")
	check(200, `,"error":""`, event.Success, "", "")
	check(401, ``, event.Denied, "rpc_error", "401")
	check(403, ``, event.Denied, "rpc_error", "403")
	check(502, ``, event.Error, "rpc_error", "502")
}

func TestEffects(t *testing.T) {
	check := func(action string, effect event.Effect, outcome event.Outcome) {
		t.Helper()
		got := parse(t, fmt.Sprintf(frame, 200, `{"audit":[{"primitive":"tool","primitive_name":"merge","action":"`+action+`"}]}`))[0]
		if got.Decision.Effect != effect || got.Outcome != outcome {
			t.Errorf("%q: got %s, %s", action, got.Decision.Effect, got.Outcome)
		}
	}
	check("allow", event.Allow, event.Success)
	check("deny", event.Deny, event.Denied)
	check("", event.EffectError, event.Error)
	check("log", event.EffectError, event.Error)
}

// The call names the decision that let it happen.
func TestCallNamesItsDecision(t *testing.T) {
	events := parse(t, fmt.Sprintf(frame, 200, `{"rpc":[{"method":"tools/call","tool_name":"merge","id":"2"}],
		"audit":[{"primitive":"tool","primitive_name":"merge","action":"allow"}]}`))
	if len(events) != 2 || events[0].Decision.ID != "r1/audit/0" || events[1].Correlation.DecisionID != "r1/audit/0" {
		t.Errorf("got %v", events)
	}
}

// Nothing that a caller sent or a tool answered is kept.
func TestContentsAreNotKept(t *testing.T) {
	const secret = "hunter2-in-the-clear"
	request, _ := json.Marshal(`{"params":{"name":"login","arguments":{"password":"` + secret + `"}}}`)
	response, _ := json.Marshal(`{"result":{"content":"` + secret + `"}}`)
	record := strings.NewReplacer("REQUEST", string(request), "RESPONSE", string(response), "SECRET", secret).Replace(
		`{"started_at":1785509788214,"request":{"id":"r1","url":"http://u:SECRET@gw/mcp?key=SECRET","querystring":{"key":"SECRET"},"headers":{"apikey":"SECRET"}},
		"ai":{"mcp":{"rpc":[{"method":"tools/call","tool_name":"login","error":"SECRET","payload":{"request":REQUEST,"response":RESPONSE}}]}}}`)
	e := parse(t, record)[0]
	if strings.Contains(string(e.Canonical()), secret) {
		t.Errorf("kept: %s", e.Canonical())
	}
	if diff := cmp.Diff([]string{"password"}, e.Tool.ArgumentNames); diff != "" {
		t.Error(diff)
	}
}

func TestManyEntries(t *testing.T) {
	many := strings.Repeat(`{"method":"tools/call","tool_name":"x"},`, maxEntries+44) + `{"method":"ping"}`
	events := parse(t, fmt.Sprintf(frame, 200, `{"rpc":[`+many+`]}`))
	last := events[len(events)-1]
	if len(events) != maxEntries || len(last.Warnings) == 0 {
		t.Errorf("got %d events, the last with %v", len(events), last.Warnings)
	}
}

func TestErrorsNameTheField(t *testing.T) {
	for record, field := range map[string]string{
		`{"ai":{"mcp":{"rpc":[{"method":"tools/call"}]}}}`:                     "started_at",
		`{"started_at":"hunter2"}`:                                             "started_at",
		`{"started_at":1,"ai":{"mcp":{"rpc":[{"method":{"a":"hunter2"}}]}}}`:   "method",
		`{"started_at":-5,"ai":{"mcp":{"audit":[{"action":"allow"}]}}}`:        "started_at",
		`{"started_at":1e300,"ai":{"mcp":{"audit":[{"action":"allow"}]}}}`:     "started_at",
		`{"started_at":1785509788214,"ai":{"mcp":{"mcp_session_id":[12345]}}}`: "mcp_session_id",
	} {
		_, err := Parse([]byte(record))
		if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "12345") {
			t.Errorf("%s: %v", record, err)
		}
	}
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		fmt.Sprintf(frame, 200, `{"mcp_session_id":"s","rpc":[{"method":"tools/call","tool_name":"merge","id":2,"payload":{"request":"{\"params\":{\"arguments\":{\"a\":1}}}","response":"{\"result\":{\"isError\":true}}"}}],"audit":[{"primitive":"tool","primitive_name":"merge","action":"deny","consumer":{"id":"c","name":"n","identifier":"username"}}]}`),
		`{"started_at":1,"ai":{"mcp":{"rpc":{},"audit":{}}}}`)
}
