package scenario

import (
	"encoding/hex"
	"math/rand/v2"
	"time"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
)

// Label is an incident: what a rule has to find. Labels stay in this process.
type Label struct {
	// Rule that has to find it.
	Rule string
	// Also are rules that tell of it too, and are right: who calls two dozen tools
	// within minutes calls new ones.
	Also []string
	// about says who did it first, and when.
	about string
	// events of which the rule has to cite one, and all that were made for the incident.
	marked, all []string
}

// plot thinks out incidents.
type plot struct {
	*cast
	rng        *rand.Rand
	begin, end time.Time
	office     []*identity // in a random order, each taken in turn
	next       int
	labels     []*Label
	scripts    []*script
}

// kind is a kind of incident, named for the rule that finds it.
type kind struct {
	rule  string
	also  []string
	enact func(p *plot, n int) []*script
}

func newPlot(c *cast, seed uint64, begin, end time.Time) *plot {
	p := &plot{cast: c, rng: rand.New(rand.NewPCG(seed, 0x1abe1)), begin: begin, end: end}
	for _, i := range c.identities {
		if i.rhythm == office && i.helper == "" && i.novelty == 0 && !i.veteran {
			p.office = append(p.office, i)
		}
	}
	p.rng.Shuffle(len(p.office), func(a, b int) { p.office[a], p.office[b] = p.office[b], p.office[a] })
	return p
}

// enact makes so many incidents of every kind.
func (p *plot) enact(each int) {
	for _, k := range kinds {
		for n := range each {
			l := &Label{Rule: k.rule, Also: k.also}
			for _, s := range k.enact(p, n) {
				for _, e := range s.seal() {
					l.all = append(l.all, e.ID)
				}
				if len(s.marked) > 0 && l.about == "" {
					l.about = s.who.sub + " of " + s.who.of.name + " at " + s.marked[0].Time.String()
				}
				for _, e := range s.marked {
					l.marked = append(l.marked, e.ID)
				}
				p.scripts = append(p.scripts, s)
			}
			p.labels = append(p.labels, l)
		}
	}
}

// agent picks an assistant with so many skills, or the one with the most among a few.
func (p *plot) agent(skills int) *identity {
	var best *identity
	for range 50 {
		i := p.office[p.next%len(p.office)]
		p.next++
		if best == nil || len(i.skills) > len(best.skills) {
			best = i
		}
		if len(best.skills) >= skills {
			break
		}
	}
	return best
}

// when picks a time: incidents lie in the second half, when identities are known.
func (p *plot) when() time.Time {
	from, to := p.begin.Add(p.end.Sub(p.begin)/2), p.end.Add(-3*time.Hour)
	return from.Add(time.Duration(p.rng.Int64N(int64(to.Sub(from)))))
}

// atWork picks a whole hour in which its office works: one in two at the end, when
// there are four weeks of its own to hold it against, the others before.
func (p *plot) atWork(who *identity, n int) time.Time {
	from, to := p.begin.Add(p.end.Sub(p.begin)/2), p.begin.AddDate(0, 0, 27)
	if n%2 == 0 {
		from, to = p.end.Add(-27*time.Hour), p.end.Add(-2*time.Hour)
	}
	for range 10_000 {
		at := from.Add(time.Duration(p.rng.Int64N(int64(to.Sub(from))))).Truncate(time.Hour)
		if busy(who.of.hourOfWeek(at)) == 1 {
			return at
		}
	}
	return to.Truncate(time.Hour) // a weekend
}

func (p *plot) script(who *identity) *script { return newScript(who, p.when(), p.rng) }

// scene is a task of an assistant that has a token for one of its servers.
type scene struct {
	*script
	k          *skill
	from, mine token
}

// x is a tool of the skill.
func (c *scene) x() tool { return c.k.tools[c.rng.IntN(len(c.k.tools))] }

func (p *plot) scene(skills int) *scene { return p.sceneAt(p.agent(skills), p.when()) }

func (p *plot) sceneAt(who *identity, at time.Time) *scene {
	c := &scene{script: newScript(who, at, p.rng)}
	c.k = &c.who.skills[p.rng.IntN(len(c.who.skills))]
	c.begin()
	c.from, c.mine = c.obtain(c.k.at, scopesOf(c.k.tools...)...)
	c.allowed(c.mine, c.k.at, c.x(), event.Success)
	return c
}

// done ends the task in order.
func (c *scene) done() []*script {
	c.allowed(c.mine, c.k.at, c.x(), event.Success)
	c.end()
	return []*script{c.script}
}

// newcomer is an identity of its own for an incident, which does nothing else. One
// that is not registered has no owner.
func (p *plot) newcomer(registered bool, phases ...enrich.Phase) *identity {
	i := p.make(p.rng, office, "agent-"+hex.EncodeToString(random(p.rng, 4)))
	i.helper = ""
	if registered {
		i.of.own("", i.sub, phases...)
	}
	return i
}

// bad marks the events and ends the task in order.
func (c *scene) bad(events ...*event.Event) []*script {
	c.mark(events...)
	return c.done()
}

// other is another tool of the server than those of the skill.
func (k *skill) other() tool {
	for _, x := range k.at.tools {
		known := false
		for _, y := range k.tools {
			known = known || x.name == y.name
		}
		if !known {
			return x
		}
	}
	return k.at.tools[0]
}
