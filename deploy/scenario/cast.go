package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
)

// Of each tenant.
const (
	serversOfTenant  = 12
	toolsOfServer    = 8
	identitiesOfOne  = 250 // at most, of a tenant
	hoursOfWeek      = 7 * 24
	helperOneIn      = 10  // assistants that delegate to a helper
	restlessOneIn    = 50  // identities that take up another tool every few days
	changedOneIn     = 250 // those that take up one in the month
	veteranOneIn     = 50  // as many again were known a hundred days ago, and work little
	skillsAtMost     = 3
	expectedPerTask  = 16 // events of an assistant's task, in the mean
	expectedPerLogin = 1
)

// rhythm is when an identity works.
type rhythm int

const (
	office  rhythm = iota // an assistant, for humans at work
	nightly               // a batch job
	always                // a service
)

type tool struct{ name, scope string }

type server struct {
	id, uri string
	tools   []tool
}

// skill is what an identity does at a server.
type skill struct {
	at    *server
	tools []tool
}

type tenant struct {
	name, issuer string
	servers      []*server
	registry     *enrich.Registry
	zone         int  // hours that its office is ahead of UTC
	byAudience   bool // tokens are asked for by audience, not by resource
}

// identity is an agent, a batch job or a service.
type identity struct {
	number int
	of     *tenant
	sub    string
	rhythm rhythm
	humans []string // that it acts for
	helper string   // that it delegates to; empty: none
	skills []skill
	mean   float64 // events that it makes in the scenario
	hour   int     // of a nightly job
	// It takes up another tool so long after since; only once when rarely.
	novelty time.Duration
	since   time.Time
	rarely  bool
	veteran bool // it was known long before
}

func (i *identity) party() event.Party {
	switch i.rhythm {
	case office:
		return event.Party{Sub: i.sub, Type: event.Agent}
	case nightly:
		return event.Party{Iss: i.of.issuer, Sub: i.sub, Type: event.Workload}
	}
	return event.Party{Iss: i.of.issuer, Sub: i.sub, Type: event.Service}
}

// cast is everybody who appears.
type cast struct {
	tenants    []*tenant
	identities []*identity
}

var trades = []string{"crm", "wiki", "mail", "ticket", "deploy", "payments", "github", "warehouse", "calendar", "hr", "metrics", "storage"}

var verbs = []struct{ name, scope string }{
	{"search", "read"}, {"get", "read"}, {"list", "read"}, {"create", "write"}, {"update", "write"}, {"comment", "write"}, {"export", "export"}, {"close", "write"},
}

func newCast(seed uint64, identities, events int, begin time.Time) *cast {
	r := rand.New(rand.NewPCG(seed, 0xca57))
	c := &cast{}
	for n := range max(2, identities/identitiesOfOne) {
		c.tenants = append(c.tenants, newTenant(r, n))
	}
	weights, sum := make([]float64, identities), 0.
	for n := range identities {
		weights[n] = math.Exp(0.4 * r.NormFloat64())
		sum += weights[n]
	}
	for n := range identities {
		i := c.add(r, rhythm(pickShare(r, 0.6, 0.2)), fmt.Sprintf("agent-%05d", n))
		i.mean = weights[n] / sum * float64(events)
		switch {
		case n%restlessOneIn == 7:
			i.novelty, i.since = 80*time.Hour, begin
		case n%changedOneIn == 42:
			i.novelty, i.since, i.rarely = 20*24*time.Hour, begin, true
		}
	}
	for n := range max(4, identities/veteranOneIn) {
		i := c.add(r, office, fmt.Sprintf("agent-%05d", identities+n))
		i.mean, i.veteran = 150, true
	}
	return c
}

// pickShare returns 0, 1 or 2, the first two with those probabilities.
func pickShare(r *rand.Rand, first, second float64) int {
	switch x := r.Float64(); {
	case x < first:
		return 0
	case x < first+second:
		return 1
	}
	return 2
}

func newTenant(r *rand.Rand, n int) *tenant {
	t := &tenant{name: fmt.Sprintf("org-%02d", n), zone: r.IntN(9) - 5, byAudience: n%2 == 0}
	t.issuer = "https://idp." + t.name + ".example"
	t.registry = &enrich.Registry{}
	for k := range serversOfTenant {
		s := &server{id: trades[k] + "-mcp"}
		s.uri = "https://" + s.id + "." + t.name + ".example/mcp"
		for _, v := range verbs {
			s.tools = append(s.tools, tool{v.name + "_" + trades[k], trades[k] + ":" + v.scope})
		}
		t.servers = append(t.servers, s)
		t.register(s)
	}
	return t
}

func (t *tenant) register(s *server) {
	t.registry.Servers = append(t.registry.Servers, enrich.Server{ID: s.id, URIs: []string{s.uri}, Owner: "platform@" + t.name + ".example", Sensitivity: "internal"})
	for _, x := range s.tools {
		t.registry.Tools = append(t.registry.Tools, enrich.Tool{Server: s.id, Name: x.name, Scopes: []string{x.scope}})
	}
}

// own registers somebody with an owner.
func (t *tenant) own(iss, sub string, phases ...enrich.Phase) {
	t.registry.Principals = append(t.registry.Principals, enrich.Principal{Iss: iss, Sub: sub, Owner: "team-" + sub + "@" + t.name + ".example", Lifecycle: phases})
}

// add makes an identity of some tenant and registers it.
func (c *cast) add(r *rand.Rand, rhythm rhythm, sub string, phases ...enrich.Phase) *identity {
	i := c.make(r, rhythm, sub)
	i.of.own(i.party().Iss, sub, phases...)
	c.identities = append(c.identities, i)
	return i
}

// make makes an identity that nobody registered.
func (c *cast) make(r *rand.Rand, rhythm rhythm, sub string) *identity {
	i := &identity{number: len(c.identities), of: c.tenants[r.IntN(len(c.tenants))], sub: sub, rhythm: rhythm, hour: (22 + r.IntN(8)) % 24}
	for _, k := range r.Perm(serversOfTenant)[:1+r.IntN(skillsAtMost)] {
		s := skill{at: i.of.servers[k]}
		for _, n := range r.Perm(toolsOfServer)[:2+r.IntN(4)] {
			s.tools = append(s.tools, s.at.tools[n])
		}
		i.skills = append(i.skills, s)
	}
	if rhythm == office {
		for range 1 + r.IntN(3) {
			i.humans = append(i.humans, fmt.Sprintf("user-%05d", r.IntN(20_000)))
		}
		if r.IntN(helperOneIn) == 0 {
			i.helper = sub + "-helper"
			i.of.own("", i.helper)
		}
	}
	return i
}

// busy is how much an office works in an hour of its week, 0 to 1; 0 is Monday's
// first. The sum over a week is officeWeek.
func busy(hour int) float64 {
	switch day, h := hour/24, hour%24; {
	case day >= 5:
		return 0.03
	case h >= 9 && h < 18:
		return 1
	case h == 8 || h == 18:
		return 0.5
	}
	return 0.03
}

var officeWeek = func() (sum float64) {
	for h := range hoursOfWeek {
		sum += busy(h)
	}
	return sum
}()

// hourOfWeek is that of a time where the tenant is.
func (t *tenant) hourOfWeek(at time.Time) int {
	at = at.Add(time.Duration(t.zone) * time.Hour)
	return (int(at.Weekday())+6)%7*24 + at.Hour()
}
