package authzen

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse,
		`{"time":"2026-11-02T09:00:00Z","id":"d","request":{"subject":{"type":"user","id":"a"},"action":{"name":"x"},"resource":{"type":"tool","id":"t"},"context":{"actor":{"sub":"b","act":{"id":"c"}},"token":{"ref":"r"}}},"response":{"decision":false,"context":{"reason_admin":{"en":"no"},"error":{"message":"m"}}}}`,
		`{"time":"2026-11-02T09:00:00Z","id":"d","request":{"subject":{"id":"a"},"evaluations":[{"resource":{"id":"t"}},{}],"options":{"evaluations_semantic":"deny_on_first_deny"}},"response":{"evaluations":[{"decision":false}]}}`,
		`{"time":"2026-11-02T09:00:00Z","id":"d","request":{"subject":{"type":"user","id":"a"},"action":{"name":"x"},"resource":{"type":"tool"}},"response":{"results":[{"type":"tool","id":"t"},{"name":"y"}]}}`,
		`{"time":"2026-11-02T09:00:00Z","request":{},"status":500,"response":"x"}`)
}

func parse(t *testing.T, members string) []*event.Event {
	t.Helper()
	events, err := Parse([]byte(`{"time":"2026-11-02T09:00:00Z","id":"d"` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

const one = `,"request":{"subject":{"type":"user","id":"a"},"action":{"name":"x"},"resource":{"type":"t","id":"r"}}`

func TestAnswers(t *testing.T) {
	check := func(members string, effect event.Effect, outcome event.Outcome, reason string) {
		t.Helper()
		e := parse(t, one+members)[0]
		if e.Decision.Effect != effect || e.Outcome != outcome || e.Decision.Reason != reason {
			t.Errorf("%s: got %s, %s, %q", members, e.Decision.Effect, e.Outcome, e.Decision.Reason)
		}
	}
	check(`,"response":{"decision":true}`, event.Allow, event.Success, "")
	check(`,"response":{"decision":false}`, event.Deny, event.Denied, "")
	check(`,"response":{"decision":false,"context":{"reason":"viewer"}}`, event.Deny, event.Denied, "viewer")
	check(`,"response":{"decision":false,"context":{"reason_user":"u","reason_admin":{"en":"e","de":"d"}}}`, event.Deny, event.Denied, "de: d; en: e")
	check(`,"response":{"decision":false,"context":{"reason_user":{"403":"u"},"reason_admin":{}}}`, event.Deny, event.Denied, "403: u")
	// An answer by error is not a deny by rule.
	check(`,"response":{"decision":false,"context":{"error":{"status":500,"message":"m"}}}`, event.EffectError, event.Error, "m")
	check(`,"response":{"decision":false,"context":{"error":"m"}}`, event.EffectError, event.Error, "m")
	check(`,"response":{"decision":false,"context":{"error":null}}`, event.Deny, event.Denied, "")
	check(`,"response":{}`, event.EffectError, event.Error, "")
	check(`,"response":null,"error":"timeout"`, event.EffectError, event.Error, "timeout")
	check(`,"status":403,"response":"go away"`, event.EffectError, event.Error, "HTTP 403: go away")
	check(`,"status":500`, event.EffectError, event.Error, "HTTP 500")
	check(`,"status":500,"response":{"decision":false}`, event.EffectError, event.Error, "HTTP 500")
	check(`,"response":"an error message"`, event.EffectError, event.Error, "an error message")
}

func TestDefaults(t *testing.T) {
	var got []string
	for _, e := range parse(t, `,"request":{"subject":{"type":"user","id":"a","properties":{"iss":"i"}},"action":{"name":"x"},"context":{"server":"s","task_id":"t"},
		"evaluations":[{"resource":{"id":"1"}},{"subject":{"type":"agent","id":"b"},"resource":{"id":"2"},"context":{"server":"z"}},{"resource":{"id":"3"},"action":{"name":"y"},"context":{}}]},
		"response":{"evaluations":[{"decision":true},{"decision":true},{"decision":true}]}`) {
		got = append(got, fmt.Sprintf("%s %s/%s %s %s %s/%s", e.Source.EventID, e.Subject.Iss, e.Subject.Sub, e.Decision.Action, e.Decision.Resource, e.Server.ID, e.Correlation.TaskID))
	}
	want := []string{"d/0 i/a x 1 s/t", "d/1 /b x 2 z/", "d/2 i/a y 3 /"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whichever of the three the request leaves open is what the results are.
func TestSearch(t *testing.T) {
	for members, want := range map[string][]string{
		`,"request":{"subject":{"type":"user","id":"a"},"action":{"name":"tools/call"},"resource":{"type":"tool"},"context":{"agent":"planner","server":"s"}},
			"response":{"results":[{"type":"tool","id":"t1"},{"type":"tool","id":"t2"}],"page":{"next_token":"x"}}`: {
			"d/0 grant.listed success a planner s t1 tools/call t1 tool", "d/1 grant.listed success a planner s t2 tools/call t2 tool"},
		`,"request":{"subject":{"type":"user"},"action":{"name":"can_read"},"resource":{"type":"account","id":"123"}},
			"response":{"results":[{"type":"user","id":"alice"}]}`: {"d/0 grant.listed success alice    can_read 123 account"},
		`,"request":{"subject":{"type":"user","id":"a"},"resource":{"type":"account","id":"123"}},
			"response":{"results":[{"name":"can_read"},{"name":"can_write"}]}`: {"d/0 grant.listed success a    can_read 123 account", "d/1 grant.listed success a    can_write 123 account"},
		`,"request":{"subject":{"type":"user","id":"a"},"action":{"name":"x"},"resource":{"type":"account"}},"response":{"results":[]}`: nil,
	} {
		var got []string
		for _, e := range parse(t, members) {
			if e.Kind != event.Grant || e.Decision.Effect != "" {
				t.Errorf("%s: got %s", members, e.Canonical())
			}
			got = append(got, strings.Join([]string{e.Source.EventID, e.Type, string(e.Outcome), e.Subject.Sub, e.Actor.Sub, e.Server.ID, e.Tool.Name,
				e.Attributes["grant.action"], e.Attributes["grant.resource"], e.Attributes["authzen.resource_type"]}, " "))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", members, diff)
		}
	}
}

func TestShortAnswers(t *testing.T) {
	check := func(semantic, answers string, events int, warning string) {
		t.Helper()
		got := parse(t, `,"request":{"subject":{"id":"a"},"action":{"name":"x"},"evaluations":[{"resource":{"id":"1"}},{"resource":{"id":"2"}},{"resource":{"id":"3"}}],"options":{"evaluations_semantic":"`+semantic+`"}},
			"response":{"evaluations":[`+answers+`]}`)
		if len(got) != events {
			t.Errorf("%s: %d events, want %d", semantic, len(got), events)
		}
		for i, e := range got {
			warnings := strings.Join(e.Warnings, ";")
			if last := i == len(got)-1; last && warnings != warning || !last && warnings != "" {
				t.Errorf("%s: event %d warns %q", semantic, i, warnings)
			}
		}
	}
	check("deny_on_first_deny", `{"decision":true},{"decision":false}`, 2, "1 of 3 evaluations were not answered, under deny_on_first_deny: they are no decisions")
	check("permit_on_first_permit", `{"decision":true}`, 1, "2 of 3 evaluations were not answered, under permit_on_first_permit: they are no decisions")
	check("execute_all", `{"decision":true}`, 1, "2 of 3 evaluations were not answered, under execute_all: they are no decisions")
	check("anything", `{"decision":true}`, 1, "2 of 3 evaluations were not answered, under an unknown semantic: they are no decisions")
	check("", `{"decision":true},{"decision":true},{"decision":true}`, 3, "")
	check("", `{"decision":true},{"decision":true},{"decision":true},{"decision":true}`, 3, "1 answers more than evaluations; left out")
}

func TestActor(t *testing.T) {
	act := `{"sub":"x"}`
	for range event.MaxChain {
		act = `{"sub":"x","act":` + act + `}`
	}
	for context, want := range map[string]string{
		`{"agent":"planner"}`:                                                                  `planner agent 0 false ""`,
		`{"actor":"planner","agent":"other"}`:                                                  `planner  0 false ""`,
		`{"actor":{"type":"agent","id":"planner","act":{"sub":"root"}}}`:                       `planner agent 2 false ""`,
		`{"actor":{"sub":"planner","act":[]}}`:                                                 `planner  1 false "actor at depth 2 is no object"`,
		`{"actor":{},"agent":"planner"}`:                                                       `planner agent 0 false "actor at depth 1 names nobody"`,
		`{"actor":{"sub":"a","act":{"sub":"` + strings.Repeat("b", event.MaxChainRaw) + `"}}}`: `a  1 true ""`,
		`{"actor":` + act + `}`:                                                                `x  64 true ""`,
	} {
		e := parse(t, strings.TrimSuffix(one, "}")+`,"context":`+context+`},"response":{"decision":true}`)[0]
		if got := fmt.Sprintf("%s %s %d %t %q", e.Actor.Sub, e.Actor.Type, len(e.Chain), e.ChainTruncated, e.ChainMalformed); got != want {
			t.Errorf("%.60s: got %s, want %s", context, got, want)
		}
	}
}

func TestTokenBecomesReference(t *testing.T) {
	for _, given := range []string{`"the-token"`, `{"ref":"the-token"}`} {
		e := parse(t, strings.TrimSuffix(one, "}")+`,"context":{"token":`+given+`}},"response":{"decision":true}`)[0]
		if e.Token.Ref != event.TokenRef("the-token") || len(e.Warnings) != 1 {
			t.Errorf("%s: got %s", given, e.Canonical())
		}
	}
}

func TestNoValueComesThrough(t *testing.T) {
	const secret = "hunter2-hunter2"
	properties := `"properties":{"k":"` + secret + `"}`
	e := parse(t, `,"request":{"subject":{"type":"user","id":"a",`+properties+`},"action":{"name":"x",`+properties+`},"resource":{"type":"tool","id":"r",`+properties+`},
		"context":{"token":"`+secret+`","other":"`+secret+`"}},"response":{"decision":true,"context":{"other":"`+secret+`","obligations":[{"type":"custom",`+properties+`}]}}`)[0]
	if got := string(e.Canonical()); strings.Contains(got, secret) {
		t.Error(got)
	}
}

// What a batch's events have in common does not cost its size for each.
func TestHostileSize(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	evaluations := `{}` + strings.Repeat(`,{}`, maxEvaluations-1)
	start := time.Now()
	events := parse(t, `,"pdp":"`+big+`","request":{"subject":{"id":"`+big+`"},"action":{"name":"`+big+`"},"resource":{"id":"`+big+`"},"evaluations":[`+evaluations+`]},"error":"`+big+`"`)
	if took := time.Since(start); took > 5*time.Second || len(events) != maxEvaluations || len(events[0].Canonical()) > 64<<10 {
		t.Errorf("%d events in %s", len(events), took)
	}
	_, err := Parse([]byte(`{"time":"2026-11-02T09:00:00Z","request":{"context":{"x":"` + big + `"},"evaluations":[` + evaluations + `]},"error":"x"}`))
	if err == nil || err.Error() != "request.context: is too large to stand for that many evaluations" {
		t.Errorf("got %v", err)
	}
}

func TestRefused(t *testing.T) {
	many, _ := json.Marshal(make([]struct{}, maxEvaluations+1))
	const head = `{"time":"2026-11-02T09:00:00Z"`
	for record, want := range map[string]string{
		`{`:  `decode log record: not JSON at byte 1`,
		`{}`: `time: is required; request: is required; response: is required, or error or status`,
		`{"time":"secret","request":{},"status":500}`:                                      `time: want an RFC 3339 time after 1970`,
		head + `,"request":{"subject":{"id":12345}},"status":500}`:                         `request.subject.id: want a string`,
		head + `,"request":{},"response":{"decision":"secret"}}`:                           `response.decision: want true or false`,
		head + `,"request":{},"response":[]}`:                                              `response: want an object`,
		head + `,"request":{},"status":"secret"}`:                                          `status: want a whole number`,
		head + `,"request":{"evaluations":[{}]},"response":{"decision":true}}`:             `response.evaluations: is required: the request has 1`,
		head + `,"request":{"evaluations":` + string(many) + `},"response":{}}`:            `request.evaluations: has more than 5000 entries`,
		head + `,"request":{},"response":{"results":` + string(many) + `}}`:                `response.results: has more than 5000 entries`,
		head + `,"request":{},"response":{"results":{}}}`:                                  `response.results: want an array`,
		head + `,"request":{},"response":{"evaluations":[{"decision":true,"context":1}]}}`: `response.evaluations.context: want an object`,
	} {
		if _, err := Parse([]byte(record)); err == nil || err.Error() != want {
			t.Errorf("%.100s: got %v, want %s", record, err, want)
		}
	}
}
