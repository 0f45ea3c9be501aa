package detect_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

func tokenScenes() []scene {
	outlive := func(by time.Duration) *event.Event {
		return changed("exchange-report", func(e *event.Event) {
			e.Exchange.ExpiresIn = int64((e.Token.ExpiresAt.Sub(e.Time) + by) / time.Second)
		})
	}
	expired := func(by time.Duration, also func(*event.Event)) *event.Event {
		return changed("triage-call", func(e *event.Event) {
			e.Token.ExpiresAt = e.Time.Add(-by)
			also(e)
		})
	}
	failed := func(e *event.Event) { e.Token.Verified = event.TokenFailed + "signature" }
	soon := shifted("after-revocation-call", -minutes(7.5))
	return []scene{
		{name: "lifetime widened", events: []*event.Event{outlive(minutes(16))}, want: []string{"lifetime_widening"}},
		{name: "lifetime within the tolerance", events: []*event.Event{outlive(minutes(14))}},
		{name: "lifetime widened, but refused", events: []*event.Event{changed("exchange-report", func(e *event.Event) {
			e.Exchange.ExpiresIn, e.Outcome = 86400, event.Denied
		})}},
		{name: "expired", events: []*event.Event{expired(minutes(2), same)}, want: []string{"expired_token_used"}},
		{name: "expired, by a clock", events: []*event.Event{expired(50*time.Second, same)}},
		{name: "expired, and refused", events: []*event.Event{expired(minutes(2), func(e *event.Event) { e.Outcome = event.Denied })}},
		{name: "failed verification", events: []*event.Event{changed("triage-call", failed)}, want: []string{"unverified_hop"}},
		{name: "failed verification, and refused", events: []*event.Event{changed("triage-call", func(e *event.Event) {
			failed(e)
			e.Outcome = event.Denied
		})}},
		{name: "not verified", events: []*event.Event{changed("triage-call", func(e *event.Event) { e.Token.Verified = event.TokenUnverified })}},
		{name: "used after its revocation", events: []*event.Event{plain("runner-revoked"), plain("after-revocation-call")}, want: []string{"token_outliving_revocation"}},
		{name: "used before its revocation", events: []*event.Event{plain("runner-revoked"), plain("backlog-call")}},
		{name: "used right after its revocation", events: []*event.Event{plain("runner-revoked"), soon}},
		{name: "another token revoked", events: []*event.Event{changed("runner-revoked", func(e *event.Event) { e.Token.Ref = event.TokenRef("other") }), plain("after-revocation-call")}},
		{name: "another audience", events: []*event.Event{changed("triage-call", func(e *event.Event) { e.Token.Audience = []string{"https://login.initech.example"} })}, want: []string{"audience_mismatch"}},
		{name: "another audience, and refused", events: []*event.Event{changed("triage-call", func(e *event.Event) {
			e.Token.Audience, e.Outcome = []string{"https://login.initech.example"}, event.Denied
		})}},
		{name: "passed through", events: []*event.Event{plain("customer-call"), plain("invoices-call")}, want: []string{"token_passthrough"}},
		{name: "two actors", events: []*event.Event{plain("triage-call"), changed("late-close-call", func(e *event.Event) { e.Actor.Sub, e.Chain[0].Sub = "mallory", "mallory" })}, want: []string{"actor_swap"}},
		{name: "two actors of two tokens", events: []*event.Event{plain("triage-call"), changed("report-call", func(e *event.Event) { e.Actor.Sub, e.Chain[0].Sub = "mallory", "mallory" })}},
		{name: "two actors, one refused", events: []*event.Event{plain("triage-call"), changed("late-close-call", func(e *event.Event) {
			e.Actor.Sub, e.Chain[0].Sub, e.Outcome = "mallory", "mallory", event.Denied
		})}},
		{name: "long-lived login", events: []*event.Event{changed("ivy-login", func(e *event.Event) { e.Token.ExpiresAt = e.Token.IssuedAt.Add(25 * time.Hour) })}, want: []string{"long_lived_credential"}},
		{name: "long-lived, seen in two calls", events: []*event.Event{
			changed("triage-call", func(e *event.Event) { e.Token.ExpiresAt = e.Token.IssuedAt.Add(25 * time.Hour) }),
			changed("late-close-call", func(e *event.Event) { e.Token.ExpiresAt = e.Token.IssuedAt.Add(25 * time.Hour) }),
		}, want: []string{"long_lived_credential"}},
		{name: "login for a day", events: []*event.Event{changed("ivy-login", func(e *event.Event) { e.Token.ExpiresAt = e.Token.IssuedAt.Add(24 * time.Hour) })}},
		{name: "secret in an event", events: []*event.Event{changed("triage-call", func(e *event.Event) {
			e.Warnings = []string{"secret replaced: github-pat in attributes.note", "secret dropped: attributes.password"}
		})}, want: []string{"secret_in_event", "secret_in_event"}},
		{name: "another warning", events: []*event.Event{changed("triage-call", func(e *event.Event) { e.Warnings = []string{"clock skew: time is 9m0s ahead of the collector's"} })}},
	}
}

// shifted is an event of the story at another time, its token as it was.
func shifted(name string, by time.Duration) *event.Event {
	return changed(name, func(e *event.Event) { e.Time = e.Time.Add(by) })
}

// chained is a call whose chain goes through these actors, the first one first.
func chained(actors ...string) *event.Event {
	return changed("triage-call", func(e *event.Event) {
		e.Chain = nil
		for _, a := range actors {
			e.Chain = append([]event.Link{{Iss: e.Actor.Iss, Sub: a, Type: event.Agent}}, e.Chain...)
		}
		e.Actor.Sub = actors[len(actors)-1]
		e.ChainRaw = ""
	})
}

func chainScenes() []scene {
	return []scene{
		{name: "malformed", events: []*event.Event{changed("triage-call", func(e *event.Event) { e.ChainMalformed = "act at depth 2 names nobody" })}, want: []string{"chain_malformed"}},
		{name: "truncated", events: []*event.Event{changed("triage-call", func(e *event.Event) { e.ChainTruncated = true })}, want: []string{"chain_truncated"}},
		{name: "cyclic", events: []*event.Event{chained("a", "b", "a")}, want: []string{"chain_cyclic"}},
		{name: "a token of its own exchanged", events: []*event.Event{chained("a", "a", "b")}},
		{name: "too deep", events: []*event.Event{chained("a", "b", "c", "d", "e", "f")}, want: []string{"chain_too_deep"}},
		{name: "deep", events: []*event.Event{chained("a", "b", "c", "d", "e")}},
	}
}

func registryScenes() []scene {
	other := func(e *event.Event) { e.Server = event.Server{ID: "shadow-mcp", URI: e.Server.URI} }
	nobody := func(e *event.Event) { e.Actor.Sub, e.Chain[0].Sub = "stray", "stray" }
	return []scene{
		{name: "all registered", known: true, events: []*event.Event{plain("triage-call")}},
		{name: "server unknown", known: true, events: []*event.Event{changed("triage-call", other)}, want: []string{"server_not_in_catalogue"}},
		{name: "server unknown without a registry", events: []*event.Event{changed("triage-call", other)}},
		{name: "server unknown, and refused", known: true, events: []*event.Event{changed("triage-call", func(e *event.Event) {
			other(e)
			e.Outcome = event.Denied
		})}},
		{name: "agent without an owner", known: true, events: []*event.Event{changed("triage-call", nobody)}, want: []string{"owner_missing"}},
		{name: "agent without an owner, without a registry", events: []*event.Event{changed("triage-call", nobody)}},
		{name: "acted for somebody who left", known: true, events: []*event.Event{plain("late-close-call"), plain("report-call")}, want: []string{"token_outliving_principal"}},
		{name: "acted for somebody before they left", known: true, events: []*event.Event{plain("triage-call")}},
		{name: "refused for somebody who left", known: true, events: []*event.Event{changed("late-close-call", func(e *event.Event) { e.Outcome = event.Denied })}},
	}
}

func behaviourScenes() []scene {
	denied := func(_ int, e *event.Event) { e.Outcome = event.Denied }
	tools := func(i int, e *event.Event) { e.Tool.Name = fmt.Sprintf("tool-%d", i) }
	scope := func(name string, scopes ...string) *event.Event {
		return changed(name, func(e *event.Event) { e.Token.Scope = scopes })
	}
	removed := func(by time.Duration) *event.Event {
		return changed("grant-payments", func(e *event.Event) {
			e.Type, e.Token.Scope, e.Time, e.Source.EventID = event.TypeGrantRemoved, []string{"payroll:*"}, e.Time.Add(by), "removed"
		})
	}
	given := scope("grant-payments", "payroll:*", "payroll:read")
	return []scene{
		{name: "ten refusals in a row", events: repeated("triage-call", 10, 20*time.Second, denied), want: []string{"deny_burst"}},
		{name: "ten refusals, slowly", events: repeated("triage-call", 10, 40*time.Second, denied)},
		{name: "nine refusals", events: repeated("triage-call", 9, time.Second, denied)},
		{name: "six refusals, each decided and then obeyed", events: slices.Concat(repeated("delete-decision", 6, time.Second, sameAs), repeated("delete-call", 6, time.Second, sameAs))},
		{name: "twenty tools", events: repeated("triage-call", 20, 7*time.Second, tools), want: []string{"tool_sweep"}},
		{name: "twenty tools, slowly", events: repeated("triage-call", 20, minutes(1), tools)},
		{name: "nineteen tools", events: repeated("triage-call", 19, time.Second, tools)},
		{name: "one tool thirty times", events: repeated("triage-call", 30, time.Second, sameAs)},
		{name: "wildcard granted", events: []*event.Event{given}, want: []string{"wildcard_grant"}},
		{name: "wildcard in a login", events: []*event.Event{scope("ivy-login", "*")}, want: []string{"wildcard_grant"}},
		{name: "no wildcard", events: []*event.Event{scope("grant-payments", "payroll:approve", "a*b")}},
		{name: "wildcard granted and removed", events: []*event.Event{given, removed(time.Hour)}},
		{name: "wildcard removed and granted", events: []*event.Event{given, removed(-time.Hour)}, want: []string{"wildcard_grant"}},
	}
}
