package scenario

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// poisson draws a number with this mean.
func poisson(r *rand.Rand, mean float64) int {
	if mean > 50 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	limit, n := math.Exp(-mean), 0
	for p := r.Float64(); p > limit; p *= r.Float64() {
		n++
	}
	return n
}

// hourly is what an identity does in one hour of the scenario of so many days.
func (i *identity) hourly(r *rand.Rand, at time.Time, days float64) (out []*event.Event) {
	within := func() time.Time { return at.Add(time.Duration(r.Int64N(int64(time.Hour)))) }
	if i.novelty > 0 && at.Sub(i.since) >= i.novelty { // it takes up another tool
		k := &i.skills[0]
		k.tools, i.since = append(k.tools, k.other()), at
		if i.rarely {
			i.novelty = 0
		}
	}
	switch i.rhythm {
	case office:
		mean := i.mean / expectedPerTask / (officeWeek * days / 7) * busy(i.of.hourOfWeek(at))
		for range poisson(r, mean) {
			out = append(out, i.assist(r, within())...)
		}
	case nightly:
		if at.Hour() == i.hour {
			out = i.job(r, at.Add(time.Duration(r.Int64N(int64(20*time.Minute)))), i.mean/days)
		}
	case always:
		out = i.serve(r, at, i.mean/days/24)
	}
	return out
}

// scopesOf are the scopes that tools need, each once.
func scopesOf(tools ...tool) (out []string) {
	for _, x := range tools {
		if !slices.Contains(out, x.scope) {
			out = append(out, x.scope)
		}
	}
	return out
}

// some picks tools to call.
func (k *skill) some(r *rand.Rand, n int) []tool {
	out := make([]tool, n)
	for j := range out {
		out[j] = k.tools[r.IntN(len(k.tools))]
	}
	return out
}

// Tokens live so long; a human's lasts for the day.
const (
	humanLife  = 8 * time.Hour
	serverLife = time.Hour
)

// assist is a task of an assistant for a human.
func (i *identity) assist(r *rand.Rand, at time.Time) []*event.Event {
	s := newScript(i, at, r)
	s.begin()
	k := &i.skills[r.IntN(len(i.skills))]
	calls := k.some(r, 2+r.IntN(7))
	scopes := scopesOf(calls...)
	human, mine := s.obtain(k.at, scopes...)
	for n, x := range calls {
		switch {
		case n > 0 && r.IntN(12) == 0:
			s.cached(human, mine, k.at)
		case n > 0 && r.IntN(40) == 0:
			mine, _ = s.exchange(human, k.at, serverLife, scopes...) // it refreshed its token
		case n > 0 && r.IntN(60) == 0:
			s.stepUp(k)
		}
		s.use(mine, k.at, x)
	}
	if i.helper != "" && r.IntN(3) == 0 {
		s.delegate(mine, k, calls[:1+r.IntN(2)])
	}
	s.end()
	if r.IntN(30) == 0 {
		s.wait(time.Second, time.Minute)
		s.next(event.Credential, event.TypeCredentialRevoked, "idp").Token = mine.Token
	}
	return s.seal()
}

// stepUp is a call that needs more than the task's token: the human agrees, and the
// new token has what both need.
func (s *script) stepUp(k *skill) {
	x := k.tools[s.rng.IntN(len(k.tools))]
	scopes := scopesOf(k.tools...)
	human, _ := s.login(s.who.of.agents(), humanLife, scopes...)
	t, e := s.exchange(human, k.at, serverLife, scopes...)
	e.Exchange.StepUp = true
	s.allowed(t, k.at, x, event.Success)
}

// delegate lets the helper make calls with a token made from the agent's.
func (s *script) delegate(from token, k *skill, calls []tool) {
	actor, chain := s.actor, s.chain
	s.actor = event.Party{Sub: s.who.helper, Type: event.Agent}
	s.chain = append([]event.Link{{Sub: s.who.helper, Type: event.Agent}}, chain...)
	t, _ := s.exchange(from, k.at, serverLife, scopesOf(calls...)...)
	for _, x := range calls {
		s.use(t, k.at, x)
	}
	s.actor, s.chain = actor, chain
}

// job is a night's work of so many events.
func (i *identity) job(r *rand.Rand, at time.Time, events float64) []*event.Event {
	s := newScript(i, at, r)
	s.begin()
	for n := range i.skills {
		k := &i.skills[n]
		calls := k.some(r, max(1, poisson(r, (events-3)/2/float64(len(i.skills)))))
		_, t := s.obtain(k.at, scopesOf(calls...)...)
		for _, x := range calls {
			if s.at.Add(5*time.Minute) > t.ExpiresAt {
				_, t = s.obtain(k.at, scopesOf(calls...)...)
			}
			s.use(t, k.at, x)
		}
	}
	s.end()
	return s.seal()
}

// serve is an hour of a service: a token, and a request now and then.
func (i *identity) serve(r *rand.Rand, at time.Time, events float64) (out []*event.Event) {
	n := poisson(r, max((events-expectedPerLogin)/2, 0.3))
	if n == 0 {
		return nil
	}
	k := &i.skills[r.IntN(len(i.skills))]
	calls := k.some(r, n)
	first := newScript(i, at.Add(time.Duration(r.Int64N(int64(time.Minute)))), r)
	t, _ := first.login(k.at.uri, 70*time.Minute, scopesOf(calls...)...)
	out = first.seal()
	for _, x := range calls {
		s := newScript(i, at.Add(time.Minute+time.Duration(r.Int64N(int64(58*time.Minute)))), r)
		s.use(t, k.at, x)
		out = append(out, s.seal()...)
	}
	return out
}

// pastOf is when some were known long before: rules that look for a quarter of a
// year's silence have that much to look at.
func pastOf(end time.Time) time.Time { return end.Truncate(24*time.Hour).AddDate(0, 0, -103) }

// walk is a day on which an identity does everything that it does in the scenario at
// least once, so that nothing of it is new later.
func (i *identity) walk(r *rand.Rand, at time.Time) (out []*event.Event) {
	humans := i.humans
	if len(humans) == 0 {
		humans = []string{""}
	}
	for _, human := range humans {
		for m := range i.skills {
			k := &i.skills[m]
			s := newScript(i, at.Add(time.Duration(r.Int64N(int64(time.Hour)))), r)
			if human != "" {
				s.human.Sub = human
			}
			s.begin()
			_, t := s.obtain(k.at, scopesOf(k.tools...)...)
			for _, x := range k.tools {
				s.allowed(t, k.at, x, event.Success)
			}
			if i.helper != "" {
				s.delegate(t, k, k.tools)
			}
			s.end()
			out = append(out, s.seal()...)
			at = at.Add(2 * time.Hour)
		}
	}
	return out
}
