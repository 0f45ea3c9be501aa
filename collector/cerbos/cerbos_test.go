package cerbos

import (
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
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","checkResources":{"inputs":[{"principal":{"id":"p"},"resource":{"kind":"mcp::tool","id":"a/b"},"actions":["x","y"],"auxData":{"jwt":{"sub":"p","act":{"sub":"q","act":{}}}}}],"outputs":[{"actions":{"x":{"effect":"EFFECT_ALLOW","policy":"resource.a.v1"}}}]},"auditTrail":{"effectivePolicies":{"resource.a.v1":{}}}}`,
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","planResources":{"input":{"actions":["x"]},"output":{"filter":{"kind":3}}}}`,
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","method":"/cerbos.svc.v1.CerbosService/CheckResources","statusCode":99}`)
}

func parse(t *testing.T, members string) []*event.Event {
	t.Helper()
	events, err := Parse([]byte(`{"callId":"c","timestamp":"2026-11-02T09:00:00Z"` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// answered is one action of one input with this answer.
func answered(t *testing.T, answer string) *event.Event {
	t.Helper()
	return parse(t, `,"checkResources":{"inputs":[{"principal":{"id":"p"},"resource":{"id":"r"},"actions":["a"]}],"outputs":[{"resourceId":"r",`+answer+`}]}`)[0]
}

func TestEffects(t *testing.T) {
	check := func(answer string, effect event.Effect, outcome event.Outcome, warnings int) {
		t.Helper()
		e := answered(t, answer)
		if e.Decision.Effect != effect || e.Outcome != outcome || len(e.Warnings) != warnings {
			t.Errorf("%s: got %s", answer, e.Canonical())
		}
	}
	check(`"actions":{"a":{"effect":"EFFECT_ALLOW"}}`, event.Allow, event.Success, 0)
	check(`"actions":{"a":{"effect":"EFFECT_DENY"}}`, event.Deny, event.Denied, 0)
	check(`"actions":{"a":{"effect":2}}`, event.Deny, event.Denied, 0)
	check(`"actions":{"a":{"effect":"EFFECT_NO_MATCH"}}`, event.NotApplicable, event.Failure, 0)
	check(`"actions":{"a":{}}`, event.EffectError, event.Error, 1)
	check(`"actions":{"b":{"effect":"EFFECT_ALLOW"}}`, event.EffectError, event.Error, 1)
	check(`"actions":{"a":{"effect":"EFFECT_DENY"}},"evaluationErrors":[{}]`, event.Deny, event.Denied, 1)
	check(`"actions":{"a":{"effect":"EFFECT_DENY"}},"validationErrors":[{},{}]`, event.Deny, event.Denied, 1)
}

// A plan with a condition is neither allow nor deny: that comes out for each resource.
func TestPlans(t *testing.T) {
	check := func(filter string, effect event.Effect, outcome event.Outcome, plan string) {
		t.Helper()
		e := parse(t, `,"planResources":{"input":{"actions":["a"],"principal":{"id":"p"}},"output":{"filter":{"kind":`+filter+`}}}`)[0]
		if e.Decision.Effect != effect || e.Outcome != outcome || e.Attributes["cerbos.plan"] != plan || e.Decision.Obligations != nil {
			t.Errorf("%s: got %s", filter, e.Canonical())
		}
	}
	check(`"KIND_ALWAYS_ALLOWED"`, event.Allow, event.Success, "")
	check(`"KIND_ALWAYS_DENIED"`, event.Deny, event.Denied, "")
	check(`"KIND_CONDITIONAL"`, event.NotApplicable, event.Failure, "conditional")
	check(`3`, event.NotApplicable, event.Failure, "conditional")
	check(`"KIND_UNSPECIFIED"`, event.EffectError, event.Error, "")
	check(`4`, event.EffectError, event.Error, "")
}

// Each action of each input is a decision of its own, known by its place.
func TestIDs(t *testing.T) {
	ids := func(members string) (out []string) {
		for _, e := range parse(t, members) {
			out = append(out, e.Source.EventID+" "+e.Decision.ID)
		}
		return out
	}
	const two = `,"checkResources":{"inputs":[{"actions":["a","b"]},{"actions":["a"]}]}`
	if diff := cmp.Diff([]string{"c/0/0 c/0/0", "c/0/1 c/0/1", "c/1/0 c/1/0"}, ids(two)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A caller that logs cerbosCallId joins where the call was one decision.
	if diff := cmp.Diff([]string{"c/0/0 c"}, ids(`,"checkResources":{"inputs":[{"actions":["a"]}]}`)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"c/plan c"}, ids(`,"planResources":{}`)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPolicy(t *testing.T) {
	check := func(policy, trail, source, want, version string) {
		t.Helper()
		e := parse(t, `,"checkResources":{"inputs":[{"actions":["a"],"principal":{"id":"p"}}],"outputs":[{"actions":{"a":{"effect":"EFFECT_DENY","policy":"`+policy+`"}}}]},
			"auditTrail":{"effectivePolicies":{`+trail+`}},"policySource":{`+source+`}`)[0]
		if e.Decision.Policy != want || e.Decision.PolicyVersion != version {
			t.Errorf("got %q version %q, want %q version %q", e.Decision.Policy, e.Decision.PolicyVersion, want, version)
		}
	}
	check("resource.a.b.vdefault", "", "", "resource.a.b.vdefault", "default")
	check("resource.a.v2/x.v9", "", `"git":{"hash":"abc"}`, "resource.a.v2/x.v9", "2@abc")
	check("role.admin/acme", "", `"disk":{"directory":"/p"}`, "role.admin/acme", "")
	check("NO_MATCH", `"resource.a.v1":{}`, "", "", "")
	check("", `"resource.a.v1":{}`, "", "resource.a.v1", "1")
	check("", `"resource.b.v1":{},"resource.a.v1":{}`, `"hub":{"localBundle":{"bundleId":"b"}}`, "resource.a.v1,resource.b.v1", "b")
}

func TestTools(t *testing.T) {
	check := func(kind, id, server, tool string) {
		t.Helper()
		e := parse(t, `,"checkResources":{"inputs":[{"resource":{"kind":"`+kind+`","id":"`+id+`"},"actions":["act"]}]}`)[0]
		if e.Server.ID != server || e.Tool.Name != tool || e.Decision.Resource != id {
			t.Errorf("%s %s: got %s", kind, id, e.Canonical())
		}
	}
	check("tool", "merge", "", "merge")
	check("mcp::tool", "github/merge", "github", "merge")
	check("mcp::tool", "merge", "", "merge")
	check("mcp::expenses", "session", "", "act")
	check("document", "1", "", "")
}

// A principal gets the token's issuer only when it is the token's subject.
func TestIssuer(t *testing.T) {
	check := func(sub, iss string, warnings int) {
		t.Helper()
		e := parse(t, `,"checkResources":{"inputs":[{"principal":{"id":"alice"},"actions":["a"],"auxData":{"jwt":{"iss":"https://idp","sub":"`+sub+`"}}}],"outputs":[{"actions":{"a":{"effect":"EFFECT_ALLOW"}}}]}`)[0]
		if e.Subject.Iss != iss || e.Token.Iss != "https://idp" || len(e.Warnings) != warnings {
			t.Errorf("%s: got %s", sub, e.Canonical())
		}
	}
	check("alice", "https://idp", 0)
	check("bob", "", 1)
	check("", "", 0)
}

func TestDelegation(t *testing.T) {
	act := `{"sub":"x"}`
	for range event.MaxChain {
		act = `{"sub":"x","act":` + act + `}`
	}
	for claim, want := range map[string]string{
		`{"sub":"a","iss":"i","act":{"sub":"b"}}`: `2 false ""`,
		`{"sub":"a","act":"b"}`:                   `1 false "act at depth 2 is no object"`,
		`{"sub":"a","act":{}}`:                    `1 false "act at depth 2 names nobody"`,
		`"a"`:                                     `0 false "act at depth 1 is no object"`,
		`null`:                                    `0 false ""`,
		act:                                       `64 true ""`,
		`{"sub":"a","act":{"sub":"` + strings.Repeat("b", event.MaxChainRaw) + `"}}`: `1 true ""`,
	} {
		e := parse(t, `,"checkResources":{"inputs":[{"actions":["a"],"auxData":{"jwt":{"act":`+claim+`}}}]}`)[0]
		if got := fmt.Sprintf("%d %t %q", len(e.Chain), e.ChainTruncated, e.ChainMalformed); got != want {
			t.Errorf("%.60s: got %s, want %s", claim, got, want)
		}
	}
}

func TestNoValueComesThrough(t *testing.T) {
	const secret = "hunter2-hunter2"
	for _, e := range parse(t, `,"metadata":{"x-api-key":{"values":["`+secret+`"]}},"checkResources":{"inputs":[{"principal":{"id":"p","attr":{"k":"`+secret+`"}},"resource":{"kind":"k","id":"r","attr":{"k":"`+secret+`"}},
		"actions":["a"],"auxData":{"jwt":{"email":"`+secret+`"}}}],"outputs":[{"actions":{"a":{"effect":"EFFECT_DENY"}},"outputs":[{"src":"s","val":"`+secret+`"}],"evaluationErrors":[{"celError":{"message":"`+secret+`"}}]}]},
		"requestContext":{"annotations":{"token_ref":"`+secret+`","other":"`+secret+`"}}`) {
		if got := string(e.Canonical()); strings.Contains(got, secret) {
			t.Error(got)
		}
	}
}

// What an entry's events have in common is read once, not once for each.
func TestHostileSize(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	actions := `"a"` + strings.Repeat(`,"a"`, maxDecisions/2)
	start := time.Now()
	events := parse(t, `,"metadata":{"traceparent":{"values":["`+strings.Repeat("-", 1<<20)+`"]}},"checkResources":{"inputs":[{"principal":{"id":"p","roles":["`+big+`"]},"actions":[`+actions+`],
		"auxData":{"jwt":{"act":{"sub":"`+big+`"},"aud":["`+big+`"]}}}]},"requestContext":{"annotations":{"token_ref":"`+big+`"}}`)
	size := 0
	for _, e := range events[:10] {
		size = max(size, len(e.Canonical()))
	}
	if took := time.Since(start); took > 5*time.Second || size > 64<<10 {
		t.Errorf("%d events in %s, of up to %d bytes", len(events), took, size)
	}
}

func TestRefused(t *testing.T) {
	many := `"a"` + strings.Repeat(`,"a"`, maxDecisions)
	for record, want := range map[string]string{
		`{`:  `decode audit log entry: not JSON at byte 1`,
		`{}`: `callId: is required; timestamp: is required; neither an access log entry nor a decision log entry`,
		`{"callId":"c","timestamp":"secret","method":"x"}`:                                                                            `timestamp: want an RFC 3339 time after 1970`,
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","log.kind":"decision"}`:                                                     `checkResources: is required, or planResources`,
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","log.kind":"secret"}`:                                                       `log.kind: want "access" or "decision"`,
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","checkResources":{"inputs":"secret"}}`:                                      `checkResources.inputs: want an array`,
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","checkResources":{"inputs":[{"actions":[` + many + `]}]}}`:                  `checkResources: has more than 5000 decisions`,
		`{"callId":"c","timestamp":"2026-11-02T09:00:00Z","method":"/cerbos.svc.v1.CerbosService/CheckResources","statusCode":"OK!"}`: `statusCode: want a number`,
	} {
		if _, err := Parse([]byte(record)); err == nil || err.Error() != want {
			t.Errorf("%.80s: got %v, want %s", record, err, want)
		}
	}
}
