package scenario

import (
	"math/rand/v2"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// What is new for an identity that has settled.
var newsKinds = []kind{
	{rule: "new_tool", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		x := c.k.other()
		_, t := c.obtain(c.k.at, x.scope)
		_, y := c.allowed(t, c.k.at, x, event.Success)
		return c.bad(y)
	}},
	{rule: "new_server", also: []string{"new_audience"}, enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		at := p.elsewhere(c.who)
		_, t := c.obtain(at, at.tools[0].scope)
		_, y := c.allowed(t, at, at.tools[0], event.Success)
		return c.bad(y)
	}},
	{rule: "new_audience", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		at := p.elsewhere(c.who)
		_, x := c.exchange(c.from, at, serverLife, c.from.Scope[0])
		return c.bad(x)
	}},
	{rule: "new_client", enact: func(p *plot, _ int) []*script {
		c := p.scene(1)
		_, y := c.allowed(c.mine, c.k.at, c.x(), event.Success)
		y.Client = event.Client{ID: "kit-" + c.trace[:6], Name: "inspector", Version: "0.1"}
		return c.bad(y)
	}},
	{rule: "new_path", enact: func(p *plot, _ int) []*script {
		c := &scene{script: p.script(p.agent(1))}
		c.k, c.human.Sub = &c.who.skills[0], "guest-"+c.trace[:6]
		c.begin()
		c.from, c.mine = c.obtain(c.k.at, c.k.tools[0].scope)
		_, y := c.allowed(c.mine, c.k.at, c.k.tools[0], event.Success)
		c.end()
		c.mark(y)
		c.mark(c.events...)
		return []*script{c.script}
	}},
}

// What is far more than an identity does at this time of the week.
var anomalyKinds = []kind{
	{rule: "volume_anomaly", enact: func(p *plot, n int) []*script {
		c := p.hour(n)
		for range max(45, int(10*c.who.mean/2/(officeWeek*4))) {
			_, y := c.allowed(c.mine, c.k.at, c.x(), event.Success)
			c.mark(y)
		}
		c.end()
		return []*script{c.script}
	}},
	{rule: "refusal_anomaly", enact: func(p *plot, n int) []*script {
		c := p.hour(n)
		for range 15 {
			x := c.x()
			c.decide(c.mine, c.k.at, x, event.Deny)
			c.mark(c.call(c.mine, c.k.at, x, event.Denied))
			c.wait(200*time.Second, 210*time.Second)
		}
		c.end()
		return []*script{c.script}
	}},
	{rule: "tool_anomaly", also: append([]string{"volume_anomaly"}, firstUse...), enact: func(p *plot, n int) []*script {
		c := p.hour(n)
		for _, k := range p.rng.Perm(serversOfTenant)[:3] {
			at := c.who.of.servers[k]
			_, t := c.obtain(at, scopesOf(at.tools...)...)
			for _, x := range at.tools[:6] {
				_, y := c.allowed(t, at, x, event.Success)
				c.mark(y)
				c.wait(150*time.Second, 170*time.Second)
			}
		}
		c.end()
		return []*script{c.script}
	}},
	{rule: "fan_out_anomaly", also: append([]string{"tool_anomaly", "volume_anomaly"}, firstUse...), enact: func(p *plot, n int) []*script {
		c := p.hour(n)
		for _, at := range c.who.of.servers[:serversOfTenant] {
			_, t := c.obtain(at, at.tools[0].scope)
			_, y := c.allowed(t, at, at.tools[0], event.Success)
			c.mark(y)
			c.wait(2*time.Minute, 4*time.Minute)
		}
		c.end()
		return []*script{c.script}
	}},
}

// hour is a task that fills an hour of an office.
func (p *plot) hour(n int) *scene {
	who := p.agent(1)
	c := &scene{script: newScript(who, p.atWork(who, n).Add(time.Minute), p.rng)}
	c.k = &who.skills[0]
	c.begin()
	c.from, c.mine = c.obtain(c.k.at, scopesOf(c.k.tools...)...)
	return c
}

// elsewhere is a server that an identity does not use.
func (p *plot) elsewhere(who *identity) *server {
	for {
		at := who.of.servers[p.rng.IntN(serversOfTenant)]
		known := false
		for n := range who.skills {
			known = known || who.skills[n].at == at
		}
		if !known {
			return at
		}
	}
}

// entitled is what a directory lists of an identity, long before and again: all of
// it is used.
func (i *identity) entitled(r *rand.Rand, times ...time.Time) (out []*event.Event) {
	for _, at := range times {
		s := newScript(i, at.Add(20*time.Hour), r)
		for n := range i.skills {
			for _, x := range i.skills[n].tools {
				g := s.listed(i.skills[n].at)
				g.Tool.Name, g.Token.Scope = x.name, []string{x.scope}
			}
		}
		out = append(out, s.seal()...)
	}
	return out
}
