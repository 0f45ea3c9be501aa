package detect_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// scene is a few events, and the rules that find something in them.
type scene struct {
	name   string
	events []*event.Event
	want   []string // the rules whose findings are open in the end
	known  bool     // to be judged with a registry: tickets-mcp with an owner, runner with one
}

func minutes(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }

// repeated is the event n times, as others, each that much later than the one before.
func repeated(name string, n int, apart time.Duration, change func(int, *event.Event)) (out []*event.Event) {
	for i := range n {
		e := story.Named(name)
		e.Source.EventID, e.Source.Sequence, e.Time = fmt.Sprintf("%s-%d", name, i), 0, e.Time.Add(time.Duration(i)*apart)
		change(i, e)
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		out = append(out, e)
	}
	return out
}

func same(*event.Event)        {}
func sameAs(int, *event.Event) {}

// plain is an event of the story as another event.
func plain(name string) *event.Event { return changed(name, same) }

// roster is the registry of scenes that want one. What is in it of a principal's
// life and of servers is what the rules are about.
func roster() *enrich.Registry {
	iss := story.Named("triage-call").Actor.Iss
	return &enrich.Registry{
		Principals: []enrich.Principal{
			{Iss: iss, Sub: "runner", Owner: "ops@initech.example"},
			{Iss: iss, Sub: "ivy", Owner: "ivy@initech.example", Lifecycle: []enrich.Phase{{State: enrich.Active, Since: 0}, {State: enrich.Retired, Since: story.Named("late-close-call").Time}}},
		},
		Servers: []enrich.Server{{ID: "tickets-mcp", Owner: "it@initech.example"}},
	}
}

// TestScenes plays each scene in tenants of its own: once at once, and once for
// each of its events with that one last. In the end the same rules have findings.
func TestScenes(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond }) // what was judged is not read again
	scenes := slices.Concat(tokenScenes(), chainScenes(), registryScenes(), behaviourScenes(), identityScenes(), claimScenes(), noveltyScenes(), anomalyScenes(), decisionScenes())
	registries := map[string]*enrich.Registry{}
	var first, last []*event.Event
	type played struct {
		scene
		tenant, last string
	}
	var plays []played
	for n, s := range scenes {
		for i := -1; i < len(s.events) && i < 12; i++ {
			p := played{s, fmt.Sprintf("scene-%d-%d", n, i+1), "none"}
			if s.known {
				registries[p.tenant] = roster()
			}
			for j, e := range s.events {
				copied, err := event.Decode(e.Canonical())
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				move(copied, p.tenant)
				if i == j {
					p.last = copied.Source.EventID
					last = append(last, copied)
				} else {
					first = append(first, copied)
				}
			}
			plays = append(plays, p)
		}
	}
	b.registry = enrich.NewSnapshot(registries)
	b.store(first...)
	b.once()
	b.store(last...)
	b.once()
	open := map[string][]string{}
	for _, f := range b.findings(detect.Filter{Status: detect.Open, Limit: 10_000}) {
		open[f.Tenant] = append(open[f.Tenant], f.Rule)
		if f.Summary == "" || f.FirstSeen.IsZero() || f.LastSeen.Before(f.FirstSeen) || len(f.Evidence) == 0 {
			t.Errorf("%s of %s: %+v", f.Rule, f.Tenant, f)
		}
	}
	said := map[string]bool{}
	for _, p := range plays {
		got := open[p.tenant]
		slices.Sort(got)
		if !slices.Equal(got, p.want) {
			t.Errorf("%s, last %s: %q, want %q", p.name, p.last, got, p.want)
		}
		for _, rule := range p.want {
			said[rule] = true
		}
	}
	for _, f := range b.findings(detect.Filter{Limit: 10_000}) {
		if said[f.Rule] {
			t.Logf("%s: %s [%s]", f.Rule, f.Summary, f.CoverageNote)
			delete(said, f.Rule)
		}
	}
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("judging again changed %+v", r)
	}
}
