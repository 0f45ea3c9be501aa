package chain

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// shuffled returns the events in another order, some of them twice.
func shuffled(events []*event.Event, seed uint64) []*event.Event {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := append([]*event.Event(nil), events...)
	for _, e := range events {
		if rng.IntN(4) == 0 {
			again := *e // a re-delivery is another record
			out = append(out, &again)
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// estate draws events of which little is in order: tokens that are exchanged by
// some and for several, cycles, calls with and without references, decisions,
// exchanges that name nothing, equal times.
func estate(seed uint64) []*event.Event {
	rng := rand.New(rand.NewPCG(seed, 1))
	one := func(prefix string, n int) string { return fmt.Sprint(prefix, rng.IntN(n)) }
	events := make([]*event.Event, 60)
	for i := range events {
		e := &event.Event{Tenant: one("tenant-", 2), Time: event.Time(1_000_000 * (1 + rng.IntN(20))), Outcome: event.Success,
			Subject: event.Party{Iss: "iss", Sub: one("human-", 2)}, Source: event.Source{ID: one("source-", 3)}}
		for range rng.IntN(3) {
			e.Chain = append(e.Chain, event.Link{Iss: "iss", Sub: one("agent-", 3)})
		}
		if len(e.Chain) > 0 {
			e.Actor, e.ChainRule = party(e.Chain[0]), []event.ChainRule{event.SubjectChained, event.ActorChained, event.Flat}[rng.IntN(3)]
		}
		e.Correlation = event.Correlation{TraceID: one("trace-", 3), JSONRPCID: one("", 3)}
		e.Server = event.Server{ID: one("server-", 2)}
		e.Tool.Name = one("tool-", 2)
		ref := func() string {
			if n := rng.IntN(12); n > 0 {
				return event.TokenRef(fmt.Sprint(n))
			}
			return ""
		}
		e.Kind = []event.Kind{event.TokenExchange, event.ToolInvocation, event.PermissionDecision, event.Credential}[rng.IntN(4)]
		switch e.Kind {
		case event.TokenExchange:
			e.Exchange = event.Exchange{SubjectTokenRef: ref(), IssuedTokenRef: ref(), ActorTokenRef: ref(), ExpiresIn: int64(rng.IntN(10))}
			e.Token.Ref = e.Exchange.SubjectTokenRef
		default:
			e.Token = event.Token{Ref: ref(), JTI: one("jti-", 5), IssuedAt: e.Time - 1, ExpiresAt: e.Time + event.Time(rng.IntN(9_000_000))}
		}
		e.ID = event.NewID(e.Tenant, e.Source.ID, fmt.Sprint(i), e.Time)
		events[i] = e
	}
	return events
}

// Any order of the events, with any of them repeated, gives the same chains: so
// an event that comes late changes a chain to what it would have been.
func TestOrderDoesNotMatter(t *testing.T) {
	sets := map[string][]*event.Event{"the story": story.Events()}
	for seed := range uint64(40) {
		sets[fmt.Sprint("drawn ", seed)] = estate(seed)
	}
	for name, events := range sets {
		for how, build := range map[string]func([]*event.Event) []*Chain{"within tenants": Build, "across": BuildAcross} {
			want := build(events)
			for seed := range uint64(10) {
				if got := build(shuffled(events, seed)); !reflect.DeepEqual(want, got) {
					t.Fatalf("%s, %s, order %d (-want +got):\n%s", name, how, seed, cmp.Diff(want, got))
				}
			}
		}
	}
}

// Every token of the events is in exactly one place, whatever they say.
func TestEveryTokenHasOnePlace(t *testing.T) {
	for seed := range uint64(200) {
		events := estate(seed)
		named := map[string]int{}
		for _, e := range events {
			for _, ref := range []string{e.Token.Ref, e.Exchange.SubjectTokenRef, e.Exchange.IssuedTokenRef} {
				if ref != "" {
					named[e.Tenant+ref] = 0
				}
			}
		}
		calls := 0
		for _, c := range Build(events) {
			c.Root.Walk(func(h *Hop, _ int) {
				if h.TokenRef != "" {
					named[h.Tenant+h.TokenRef]++
				}
				calls += len(h.Calls)
				if h.Join == "" && h != c.Root || h.Join.Strength() != h.Strength {
					t.Errorf("seed %d: a hop is joined by %q, %q", seed, h.Join, h.Strength)
				}
			})
		}
		for ref, n := range named {
			if n != 1 {
				t.Errorf("seed %d: token %s is in %d places", seed, ref, n)
			}
		}
		for _, e := range events {
			if e.Kind == event.ToolInvocation {
				calls--
			}
		}
		if calls != 0 {
			t.Errorf("seed %d: %d calls too many", seed, calls)
		}
	}
}

// A login that ten thousand tokens were made of, half of whose exchanges were not
// seen, and a chain of fifty, are built in no time.
func TestFanOut(t *testing.T) {
	const tokens = 10_000
	login := story.Named("alice-login")
	events := []*event.Event{login}
	ofX, ofCall, ofDecision := *story.Named("exchange-github"), *story.Named("merge-call"), *story.Named("merge-decision")
	for i := range tokens {
		x, call, decision := new(ofX), new(ofCall), new(ofDecision)
		for _, e := range []*event.Event{x, call, decision} {
			e.Time += event.Time(i)
			e.ID = event.NewID("acme", e.Source.ID, fmt.Sprint(e.Kind, i), e.Time)
		}
		call.Correlation.DecisionID, call.Correlation.JSONRPCID, decision.Correlation.JSONRPCID = "", fmt.Sprint(i), fmt.Sprint(i)
		x.Exchange.IssuedTokenRef = event.TokenRef(fmt.Sprint("token ", i))
		call.Token.Ref, decision.Token.Ref = x.Exchange.IssuedTokenRef, x.Exchange.IssuedTokenRef
		events = append(events, call, decision)
		if i%2 == 0 {
			events = append(events, x)
		}
	}
	// Those whose exchange is not there hang by their claim and the trace.
	login.Correlation.TraceID = ofCall.Correlation.TraceID
	began := time.Now()
	chains := Build(events)
	took := time.Since(began)
	if len(chains) != 1 || len(chains[0].Root.Children) != tokens || chains[0].Missing != tokens/2 {
		t.Fatalf("%d chains, %d children, %d missing", len(chains), len(chains[0].Root.Children), chains[0].Missing)
	}
	for _, h := range chains[0].Root.Children {
		if len(h.Calls) != 1 || h.Calls[0].Decision == nil {
			t.Fatalf("calls %+v", h.Calls)
		}
	}
	if took > 10*time.Second { // it takes a tenth of a second; what is quadratic takes minutes
		t.Errorf("took %s", took)
	}
	t.Logf("%d events in %s", len(events), took)
}

func TestCycleAndDepth(t *testing.T) {
	chains := Build([]*event.Event{exchange("a", "b", 1), exchange("b", "c", 2), exchange("c", "a", 3), exchange("a", "a", 4)})
	if len(chains) != 1 || !strings.Contains(strings.Join(find(t, chains, event.TokenRef("c")).Problems, "")+strings.Join(chains[0].Root.Problems, ""), "cycle") {
		t.Errorf("%d chains, root %+v", len(chains), chains[0].Root)
	}
	var long []*event.Event
	for i := range 50 {
		long = append(long, exchange(strings.Repeat("x", i+1), strings.Repeat("x", i+2), event.Time(i+1)))
	}
	if got := Build(long)[0].Depth; got != 50 {
		t.Errorf("depth %d", got)
	}
}

func FuzzBuild(f *testing.F) {
	f.Add([]byte{1, 2, 2, 3, 3, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var events []*event.Event
		for i := 0; i+1 < len(b); i += 2 {
			events = append(events, exchange(string(b[i]%16), string(b[i+1]%16), event.Time(i+1)))
		}
		hops := 0
		for _, c := range Build(events) {
			c.Root.Walk(func(h *Hop, _ int) { hops++ })
		}
		if hops > 16 {
			t.Errorf("%d hops of 16 tokens", hops)
		}
	})
}
