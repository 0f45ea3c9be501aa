package detect_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// renamed is the event as another one, of that name.
func renamed(name string, e *event.Event, change func(*event.Event)) *event.Event {
	e.Source.EventID = name
	change(e)
	e.ID = event.NewID(e.Tenant, e.Source.ID, name, e.Time)
	return e
}

func identityScenes() []scene {
	by := func(name string, change func(*event.Event)) *event.Event {
		return renamed(name, plain("triage-call"), change)
	}
	agent := func(sub string) func(*event.Event) {
		return func(e *event.Event) { e.Actor.Sub, e.Chain[0].Sub = sub, sub }
	}
	key := func(name, sub string, later time.Duration, also func(*event.Event)) *event.Event {
		return renamed(name, plain("salaries-august-call"), func(e *event.Event) {
			e.Subject.Sub, e.Time = sub, e.Time.Add(later)
			also(e)
		})
	}
	program := func(s string) func(*event.Event) { return func(e *event.Event) { e.UserAgent = s } }
	issue := func(typ event.PartyType) *event.Event {
		return renamed("issue", plain("ivy-login"), func(e *event.Event) { e.Subject.Type, e.Subject.Sub = typ, "runner" })
	}
	human := by("by hand", func(e *event.Event) {
		e.Actor, e.Chain, e.Token = event.Party{}, nil, plain("ivy-login").Token
		e.Token.Audience = nil
	})
	const elsewhere = "https://idp.partner.example"
	hop := func(e *event.Event) { e.Actor.Iss, e.Chain[0].Iss = elsewhere, elsewhere }
	return []scene{
		{name: "one key, two agents", events: []*event.Event{key("a", "runner", 0, same), key("b", "auditor", 26*time.Hour, same)}, want: []string{"shared_credential", "static_credential"}},
		{name: "one key, two clients", events: []*event.Event{key("a", "runner", 0, same), key("b", "runner", time.Hour, func(e *event.Event) { e.Client.Name = "desktop" })}, want: []string{"shared_credential", "static_credential"}},
		{name: "one key, one agent", events: []*event.Event{key("a", "runner", 0, same), key("b", "runner", 26*time.Hour, same), key("c", "runner", 27*time.Hour, same)}, want: []string{"static_credential"}},
		{name: "one key, two agents, one refused", events: []*event.Event{key("a", "runner", 0, same), key("b", "auditor", time.Hour, func(e *event.Event) { e.Outcome = event.Denied })}, want: []string{"static_credential"}},
		{name: "one key, two agents, months apart", events: []*event.Event{key("a", "runner", 0, same), key("b", "auditor", 60*24*time.Hour, same)}, want: []string{"static_credential"}},
		{name: "an agent's token in a terminal", events: []*event.Event{by("curl", program("curl/8.14.1"))}, want: []string{"human_uses_agent_credential"}},
		{name: "an agent's token in an agent", events: []*event.Event{by("sdk", program("mcp-go/1.8.0 (like curl/8)"))}},
		{name: "an agent's token in a terminal, refused", events: []*event.Event{by("curl", func(e *event.Event) { e.UserAgent, e.Outcome = "curl/8.14.1", event.Denied })}},
		{name: "a human's own token in a terminal", events: []*event.Event{issue(event.Human), renamed("mine", human, program("curl/8.14.1"))}},
		{name: "an agent's token in a human's name", events: []*event.Event{issue(event.Agent), human}, want: []string{"human_uses_agent_credential"}},
		{name: "two issuers", events: []*event.Event{by("hop", hop)}, want: []string{"cross_tenant_hop"}},
		{name: "two issuers, refused", events: []*event.Event{by("hop", func(e *event.Event) { hop(e); e.Outcome = event.Denied })}},
		{name: "two issuers in the middle", events: []*event.Event{by("hop", func(e *event.Event) {
			e.Chain = slices.Concat(e.Chain, []event.Link{{Iss: elsewhere, Sub: "relay", Type: event.Agent}})
		})}, want: []string{"cross_tenant_hop", "cross_tenant_hop"}},
		{name: "an actor without an issuer", events: []*event.Event{by("hop", func(e *event.Event) { e.Actor.Iss, e.Chain[0].Iss = "", "" })}},
		{name: "one issuer", events: []*event.Event{by("other", agent("auditor"))}},
	}
}

// claimScenes are about what a token says of who may act with it, and where it is from.
func claimScenes() []scene {
	may := func(name, claim string) *event.Event {
		return changed(name, func(e *event.Event) { e.Attributes = map[string]string{"may_act": claim} })
	}
	const other, mine = `{"sub":"auditor"}`, `{"iss":"https://login.initech.example","sub":"runner"}`
	wrong := []string{"actor_not_in_may_act"}
	seen := func(name, sub string, at time.Duration) *event.Event {
		return renamed(name, plain("ivy-login"), func(e *event.Event) {
			e.Time = plain("payslip-call").Token.IssuedAt.Add(at)
			e.Token.Ref, e.Token.IssuedAt, e.Token.ExpiresAt, e.Subject.Sub = event.TokenRef(name), e.Time, e.Time.Add(time.Hour), sub
		})
	}
	before, after := seen("before", "joe", -minutes(20)), seen("after", "sam", minutes(20))
	orphan := func(change func(*event.Event)) *event.Event { return changed("payslip-call", change) }
	return []scene{
		{name: "may act, and another does", events: []*event.Event{may("exchange-report", other)}, want: wrong},
		{name: "may act, of another issuer", events: []*event.Event{may("exchange-report", `{"iss":"https://idp.partner.example","sub":"runner"}`)}, want: wrong},
		{name: "may act, and does", events: []*event.Event{may("exchange-report", mine)}},
		{name: "some may act, and one does", events: []*event.Event{may("exchange-report", "["+other+","+mine+"]")}},
		{name: "may act by name, and does", events: []*event.Event{may("exchange-report", "auditor runner")}},
		{name: "may act says the issue, and another does", events: []*event.Event{may("ivy-login", other), plain("exchange-report")}, want: wrong},
		{name: "may act says the issue, and does", events: []*event.Event{may("ivy-login", mine), plain("exchange-report")}},
		{name: "may act, and was refused", events: []*event.Event{changed("exchange-report", func(e *event.Event) {
			e.Attributes, e.Outcome = map[string]string{"may_act": other}, event.Denied
		})}},
		{name: "from nowhere", events: []*event.Event{before, orphan(same), after}, want: []string{"orphan_token"}},
		{name: "from nowhere, and refused", events: []*event.Event{before, orphan(func(e *event.Event) { e.Outcome = event.Denied }), after}},
		{name: "from nowhere, and its issuer was not heard of before", events: []*event.Event{orphan(same), after}},
		{name: "from nowhere, and its issuer was not heard of after", events: []*event.Event{before, orphan(same)}},
		{name: "from another issuer", events: []*event.Event{before, orphan(func(e *event.Event) { e.Token.Iss = "https://idp.partner.example" }), after}},
		{name: "from somewhere", events: []*event.Event{before, orphan(same), after, changed("ivy-login", func(e *event.Event) {
			e.Time, e.Token = plain("payslip-call").Token.IssuedAt, plain("payslip-call").Token
		})}},
	}
}

// decisionScenes are calls of which the token and the number of the request are those
// of another one too, as of a client that numbers its requests on each connection anew.
func decisionScenes() []scene {
	decided := func(number int, effect event.Effect, by time.Duration, trace string) *event.Event {
		return repeated("triage-decision", number, by, func(_ int, e *event.Event) {
			e.Decision.ID, e.Decision.Effect, e.Token.Ref, e.Correlation.TraceID = fmt.Sprintf("opa-%d", number), effect, story.Named("triage-call").Token.Ref, trace
			e.Correlation.DecisionID = ""
		})[number-1]
	}
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	call := changed("triage-call", func(e *event.Event) { e.Correlation.TraceID, e.Correlation.DecisionID = one, "" })
	// Of these no trace tells, as of gateways that do not pass it on.
	again := func(name string, by time.Duration, change func(*event.Event)) *event.Event {
		return repeated("triage-call", 1, 0, func(_ int, e *event.Event) {
			e.Source.EventID, e.Time, e.Correlation.TraceID, e.Correlation.DecisionID = name, e.Time.Add(by), "", ""
			change(e)
		})[0]
	}
	traced := func(e *event.Event) { e.Correlation.TraceID = two }
	first, fast, later := again("first", 0, same), again("fast", 200*time.Millisecond, same), again("later", time.Minute, same)
	before, between, after := decided(3, event.Allow, -250*time.Millisecond, ""), decided(4, event.Allow, time.Second/50, ""), decided(5, event.Allow, 15*time.Second, "")
	sign := repeated("triage-decision", 1, 0, func(_ int, e *event.Event) { // its source is there all the time
		e.Source.EventID, e.Time, e.Decision.ID, e.Token.Ref, e.Correlation.JSONRPCID, e.Correlation.DecisionID = "sign", e.Time.Add(2*time.Minute), "opa-sign", event.TokenRef("other"), "1", ""
	})[0]
	undecided := []string{"call_without_decision"}
	return []scene{
		{name: "one decision for two requests", events: []*event.Event{before, first, later, sign}, want: undecided},
		{name: "a decision for each of two requests", events: []*event.Event{before, first, after, later, sign}},
		{name: "a decision for each of two requests at once", events: []*event.Event{before, first, between, fast, sign}},
		{name: "one decision for two requests, the first of which was refused", events: []*event.Event{before, again("refused", 0, func(e *event.Event) { e.Outcome = event.Denied }), later, sign}, want: undecided},
		{name: "one decision, by its trace of the second", events: []*event.Event{decided(6, event.Allow, -time.Second/5, two), first, again("traced", time.Minute, traced), sign}, want: undecided},
		{name: "one request that two sources report", events: []*event.Event{before, first, again("seen", time.Second, func(e *event.Event) { e.Source.ID = "initech-gateway" }), sign}},
		{name: "requests for other tools", events: []*event.Event{before, first, again("other tool", time.Minute, func(e *event.Event) { e.Tool.Name = "close_ticket" }), sign}, want: undecided},
		{name: "another request was denied", events: []*event.Event{decided(1, event.Allow, 0, one), call, decided(2, event.Deny, 2*time.Second, two)}},
		{name: "this request was denied", events: []*event.Event{decided(1, event.Allow, 0, one), call, decided(2, event.Deny, time.Second, one)}, want: []string{"call_after_deny"}},
		{name: "some request was denied, of which no trace tells", events: []*event.Event{call, decided(2, event.Deny, time.Second, "")}, want: []string{"call_after_deny"}},
	}
}
