package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// kinds are all kinds of incidents.
var kinds = slices.Concat(tokenKinds, chainKinds, callKinds, grantKinds, sourceKinds, newsKinds, anomalyKinds)

// Unexercised are the rules whose facts are not in records: they read what sealing
// and the log's incarnations left.
var Unexercised = []string{"log_gap", "seal_broken"}

// Exchanges and tokens.
var tokenKinds = []kind{
	{rule: "actor_not_in_may_act", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		_, x := c.exchange(c.from, c.k.at, serverLife, c.mine.Scope...)
		x.Attributes = map[string]string{"may_act": `{"sub":"` + p.office[p.rng.IntN(len(p.office))].sub + `-next"}`}
		return c.bad(x)
	}},
	{rule: "scope_widening", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		_, x := c.exchange(c.from, c.k.at, serverLife, append(slices.Clone(c.mine.Scope), c.k.at.tools[0].scope[:strings.IndexByte(c.k.at.tools[0].scope, ':')]+":admin")...)
		return c.bad(x)
	}},
	{rule: "lifetime_widening", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		short, _ := c.login(c.who.of.agents(), 10*time.Minute, c.mine.Scope...)
		_, x := c.exchange(short, c.k.at, 2*time.Hour, c.mine.Scope...)
		return c.bad(x)
	}},
	{rule: "long_lived_credential", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		_, x := c.login(c.who.of.agents(), time.Duration(3+n)*24*time.Hour, c.mine.Scope...)
		return c.bad(x)
	}},
	{rule: "audience_mismatch", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		_, x := c.allowed(c.from, c.k.at, c.x(), event.Success)
		return c.bad(x)
	}},
	{rule: "token_passthrough", also: firstUse, enact: func(p *plot, _ int) []*script {
		c := p.scene(2)
		for n := range c.who.skills {
			if k := &c.who.skills[n]; k.at != c.k.at {
				_, x := c.allowed(c.mine, k.at, k.tools[0], event.Success)
				return c.bad(x)
			}
		}
		at := c.who.of.servers[p.rng.IntN(serversOfTenant)]
		for at == c.k.at {
			at = c.who.of.servers[p.rng.IntN(serversOfTenant)]
		}
		_, x := c.allowed(c.mine, at, at.tools[0], event.Success)
		return c.bad(x)
	}},
	{rule: "expired_token_used", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		c.at = c.mine.ExpiresAt.Add(time.Duration(2+n%50) * time.Minute)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		c.mark(x)
		c.end()
		return []*script{c.script}
	}},
	{rule: "orphan_token", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		stray := c.mine
		stray.Ref, stray.IssuedAt, stray.ExpiresAt = newRef(p.rng), c.at, c.at.Add(serverLife)
		c.wait(time.Minute, 5*time.Minute)
		_, x := c.allowed(stray, c.k.at, c.x(), event.Success)
		c.wait(time.Minute, 5*time.Minute)
		c.from, c.mine = c.obtain(c.k.at, c.mine.Scope...) // the issuer's sources are heard of after it
		return c.bad(x)
	}},
	{rule: "token_outliving_task", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		c.end()
		c.wait(time.Second, time.Duration(2+n%40)*time.Minute)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		c.mark(x)
		return []*script{c.script}
	}},
	{rule: "token_outliving_revocation", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		r := c.next(event.Credential, event.TypeCredentialRevoked, "idp")
		r.Token = c.mine.Token
		c.wait(2*time.Minute, 20*time.Minute)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		c.mark(x)
		c.end()
		return []*script{c.script}
	}},
	{rule: "token_outliving_principal", enact: func(p *plot, _ int) []*script {
		gone := p.when()
		who := p.newcomer(true, enrich.Phase{State: enrich.Active, Since: event.TimeOf(p.begin.AddDate(-1, 0, 0))}, enrich.Phase{State: enrich.Retired, Since: event.TimeOf(gone)})
		before, after := newScript(who, gone.Add(-time.Duration(1+p.rng.IntN(100))*time.Hour), p.rng), newScript(who, gone.Add(time.Duration(1+p.rng.IntN(120))*time.Minute), p.rng)
		k := &who.skills[0]
		for _, s := range []*script{before, after} {
			s.begin()
			_, t := s.obtain(k.at, scopesOf(k.tools...)...)
			_, x := s.allowed(t, k.at, k.tools[0], event.Success)
			if s == after {
				s.mark(x)
			}
			s.end()
		}
		return []*script{before, after}
	}},
}

// firstUse are the rules that tell of what an identity does for the first time.
var firstUse = []string{"new_tool", "new_server", "new_audience", "new_path", "new_client"}

// Who acts, and through whom.
var chainKinds = []kind{
	{rule: "actor_swap", also: firstUse, enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		thief, actor, chain := p.colleague(c.who), c.actor, c.chain
		c.actor, c.chain = thief.party(), []event.Link{{Sub: thief.sub, Type: event.Agent}}
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		c.actor, c.chain = actor, chain
		return c.bad(x)
	}},
	{rule: "chain_cyclic", also: []string{"new_path"}, enact: func(p *plot, _ int) []*script {
		return chained(p, func(c *scene, x *event.Event) {
			me := event.Link{Sub: c.who.sub, Type: event.Agent}
			x.Chain = []event.Link{me, {Sub: "router-" + c.trace[:4], Type: event.Agent}, me}
		})
	}},
	{rule: "chain_too_deep", also: []string{"new_path"}, enact: func(p *plot, n int) []*script {
		return chained(p, func(c *scene, x *event.Event) {
			for hop := range 5 + n%4 {
				x.Chain = append(slices.Clone(x.Chain), event.Link{Sub: fmt.Sprintf("relay-%s-%d", c.trace[:4], hop), Type: event.Agent})
			}
		})
	}},
	{rule: "chain_malformed", enact: func(p *plot, n int) []*script {
		return chained(p, func(_ *scene, x *event.Event) {
			x.Chain, x.ChainMalformed, x.ChainRaw = nil, fmt.Sprintf("act of link %d has no sub", 1+n%9), `{"act":{}}`
		})
	}},
	{rule: "chain_truncated", enact: func(p *plot, _ int) []*script {
		return chained(p, func(_ *scene, x *event.Event) { x.ChainTruncated = true })
	}},
	{rule: "cross_tenant_hop", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		partner := fmt.Sprintf("https://idp.partner-%03d.example", n)
		c.who.of.own(partner, "*")
		c.actor = event.Party{Iss: partner, Sub: "buyer", Type: event.Agent}
		c.chain = []event.Link{{Iss: partner, Sub: "buyer", Type: event.Agent}}
		t, x := c.exchange(c.from, c.k.at, serverLife, c.mine.Scope...)
		_, y := c.allowed(t, c.k.at, c.x(), event.Success)
		c.mark(x, y)
		return []*script{c.script}
	}},
	{rule: "owner_missing", enact: func(p *plot, _ int) []*script {
		who := p.newcomer(false)
		s, k := p.script(who), &who.skills[0]
		s.begin()
		_, t := s.obtain(k.at, scopesOf(k.tools...)...)
		_, x := s.allowed(t, k.at, k.tools[0], event.Success)
		s.mark(x)
		s.end()
		return []*script{s}
	}},
	{rule: "human_uses_agent_credential", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		x.UserAgent = []string{"curl/8.9.1", "PostmanRuntime/7.43.0", "Mozilla/5.0 (X11; Linux x86_64)", "HTTPie/3.2.4"}[n%4]
		return c.bad(x)
	}},
}

// chained is a call of which something about the chain is changed.
func chained(p *plot, change func(c *scene, x *event.Event)) []*script {
	c := p.scene(1)
	_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
	change(c, x)
	return c.bad(x)
}

// Calls and what was decided about them.
var callKinds = []kind{
	{rule: "call_after_deny", enact: func(p *plot, _ int) []*script {
		c, x := p.scene(1), tool{}
		x = c.x()
		d := c.decide(c.mine, c.k.at, x, event.Deny)
		return c.bad(d, c.call(c.mine, c.k.at, x, event.Success))
	}},
	{rule: "call_without_decision", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		c.wait(time.Second, 10*time.Second)
		c.calls++
		return c.bad(c.call(c.mine, c.k.at, c.x(), event.Success))
	}},
	{rule: "deny_burst", also: []string{"refusal_anomaly", "volume_anomaly"}, enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		for range 12 + n%6 {
			x := c.x()
			c.mark(c.decide(c.mine, c.k.at, x, event.Deny), c.call(c.mine, c.k.at, x, event.Denied))
			c.wait(2*time.Second, 10*time.Second)
		}
		return c.done()
	}},
	{rule: "tool_sweep", also: append([]string{"tool_anomaly", "volume_anomaly", "fan_out_anomaly"}, firstUse...), enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		for _, n := range p.rng.Perm(serversOfTenant)[:3] {
			at := c.who.of.servers[n]
			_, t := c.obtain(at, scopesOf(at.tools...)...)
			for _, x := range at.tools {
				_, y := c.allowed(t, at, x, event.Success)
				c.mark(y)
			}
		}
		return c.done()
	}},
	{rule: "unverified_hop", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		x.Token.Verified = event.TokenFailed + event.Verified([]string{"signature", "issuer", "key id", "algorithm", "not before"}[n%5])
		return c.bad(x)
	}},
	{rule: "server_not_in_catalogue", also: firstUse, enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		id := "box-" + c.trace[:6] + "-mcp"
		at := &server{id: id, uri: "https://" + id + "." + c.who.of.name + ".example/mcp"}
		t, _ := c.exchange(c.from, at, serverLife, c.mine.Scope...)
		_, x := c.allowed(t, at, tool{name: "run"}, event.Success)
		return c.bad(x)
	}},
	{rule: "static_credential", also: firstUse, enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		_, x := c.allowed(static(p), c.k.at, c.x(), event.Success)
		return c.bad(x)
	}},
	{rule: "shared_credential", also: append([]string{"static_credential"}, firstUse...), enact: func(p *plot, _ int) []*script {
		a, key := p.scene(1), static(p)
		b := p.sceneAt(p.colleague(a.who), a.at.Go().Add(-time.Duration(p.rng.IntN(120))*time.Hour))
		_, x := a.allowed(key, a.k.at, a.x(), event.Success)
		_, y := b.allowed(key, a.k.at, a.x(), event.Success)
		return append(a.bad(x), b.bad(y)...)
	}},
	{rule: "dormant_identity", enact: func(p *plot, _ int) []*script {
		who := p.newcomer(true)
		long := &script{who: who, events: who.walk(p.rng, pastOf(p.end))}
		back := newScript(who, p.end.Add(-time.Duration(3+p.rng.IntN(60))*time.Hour), p.rng)
		k := &who.skills[0]
		back.begin()
		_, t := back.obtain(k.at, k.tools[0].scope) // that it holds more and does not use it would be another finding
		_, x := back.allowed(t, k.at, k.tools[0], event.Success)
		back.mark(x)
		back.end()
		return []*script{long, back}
	}},
}

// colleague is another assistant of the same tenant.
func (p *plot) colleague(of *identity) *identity {
	for {
		if i := p.agent(1); i.of == of.of && i != of {
			return i
		}
	}
}

// static is a key that was never issued and does not end.
func static(p *plot) token {
	return token{event.Token{Ref: "hmac:k1:" + newRef(p.rng)[7:], TokenType: "api_key", Static: true, Verified: event.TokenUnverified}}
}

// What was granted.
var grantKinds = []kind{
	{rule: "wildcard_grant", enact: func(p *plot, n int) []*script {
		s := p.script(p.agent(1))
		g := s.listed(s.who.skills[0].at)
		g.Token.Scope = []string{strings.SplitN(s.who.skills[0].at.tools[0].scope, ":", 2)[0] + []string{":*", ".*", "/*"}[n%3]}
		s.mark(g)
		return []*script{s}
	}},
	{rule: "unused_grant", enact: func(p *plot, n int) []*script {
		who := p.newcomer(true)
		k := &who.skills[0]
		x := k.other()
		out := []*script{{who: who, events: who.walk(p.rng, pastOf(p.end))}}
		for _, at := range []time.Time{pastOf(p.end).Add(time.Duration(1+n%4) * 24 * time.Hour), p.when()} {
			s := newScript(who, at, p.rng)
			g := s.listed(k.at)
			g.Tool.Name = x.name
			s.mark(g)
			out = append(out, s)
		}
		return out
	}},
	{rule: "over_scoped_token", enact: func(p *plot, n int) []*script {
		who := p.newcomer(true)
		k := &who.skills[0]
		out := []*script{{who: who, events: who.walk(p.rng, pastOf(p.end))}}
		for _, at := range []time.Time{pastOf(p.end).Add(time.Duration(10+24*(n%4)) * time.Hour), p.begin.Add(time.Duration(50+p.rng.IntN(200)) * time.Hour)} {
			s := newScript(who, at, p.rng)
			s.begin()
			scopes := append(scopesOf(k.tools...), strings.SplitN(k.tools[0].scope, ":", 2)[0]+":purge")
			from, _ := s.login(who.of.agents(), humanLife, scopes...)
			t, x := s.exchange(from, k.at, serverLife, scopes...)
			_, y := s.allowed(t, k.at, k.tools[0], event.Success)
			s.mark(x, y)
			s.end()
			out = append(out, s)
		}
		return out
	}},
}

// listed is an entitlement that the directory lists.
func (s *script) listed(at *server) *event.Event {
	g := s.next(event.Grant, event.TypeGrantListed, "directory")
	g.Server = event.Server{ID: at.id, URI: at.uri}
	return g
}

// What sources do.
var sourceKinds = []kind{
	{rule: "event_doubled", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		c.again = append(c.again, extra{x, table.Stored})
		return c.bad(x)
	}},
	{rule: "event_forged", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		out := c.bad(x)
		c.seal()
		y := *x
		y.Outcome, y.Tool.ResultStatus = event.Failure, "tool_error"
		c.again = append(c.again, extra{&y, []table.State{table.Conflict, table.Stored}[n%2]})
		return out
	}},
	{rule: "secret_in_event", enact: func(p *plot, n int) []*script {
		c := p.scene(1)
		_, x := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		form := []string{"jwt", "github-pat", "aws-access-token", "slack-bot-token", "private-key"}[n%5]
		x.Warnings = []string{"secret replaced: " + form + " in attributes.note"}
		return c.bad(x)
	}},
	{rule: "sequence_gap", enact: func(p *plot, n int) []*script {
		s, numbers := p.counted()
		for m := range int64(6) {
			first, last := s.begin(), s.end()
			numbers(first, 2*m+1)
			numbers(last, 2*m+2)
			if m > 3 {
				numbers(first, 2*m+2+int64(n%7))
				numbers(last, 2*m+3+int64(n%7))
			}
			s.mark(first, last)
		}
		return []*script{s}
	}},
	{rule: "sequence_replay", enact: func(p *plot, _ int) []*script {
		s, numbers := p.counted()
		for m := range int64(6) {
			first, last := s.begin(), s.end()
			numbers(first, 2*m+1)
			numbers(last, 2*m+2)
			if m == 5 {
				numbers(last, 5) // after 5 came 11, which is there
				s.mark(last)
			}
		}
		return []*script{s}
	}},
	{rule: "emitter_silent", enact: func(p *plot, n int) []*script {
		who := p.newcomer(true)
		id := fmt.Sprintf("edge-%03d-mcp", n)
		at := &server{id: id, uri: "https://" + id + "." + who.of.name + ".example/mcp"}
		who.of.register(at)
		s := newScript(who, p.begin.Add(p.end.Sub(p.begin)/3), p.rng)
		until := event.TimeOf(p.end.Add(-time.Duration(4+n%40) * time.Hour))
		for s.at < until {
			e := s.next(event.ToolInvocation, event.TypeToolList, at.id)
			e.Server, e.Token.Verified, e.Client = event.Server{ID: at.id, URI: at.uri}, event.TokenAbsent, s.client()
			e.Chain, e.ChainRule, e.Tool = s.chain, event.SubjectChained, event.Tool{ServerMethod: "tools/list", ResultStatus: "ok"}
			s.mark(e)
			s.wait(20*time.Minute, 70*time.Minute)
		}
		return []*script{s}
	}},
}

// counted is a script of an orchestrator's process that counts its own events.
func (p *plot) counted() (*script, func(e *event.Event, n int64)) {
	s := p.script(p.agent(1))
	run := "p" + s.trace[:8]
	return s, func(e *event.Event, n int64) { e.Source.EventID, e.Source.Sequence = fmt.Sprintf("%s-%d", run, n), n }
}
