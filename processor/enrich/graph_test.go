package enrich

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
)

// shelf is the tables, in memory.
type shelf map[key]lineage

// round does what a round of the pass does.
func (s shelf) round(learn func(*graph), about ...key) {
	g := newGraph()
	for _, k := range about {
		if l, ok := s[k]; ok {
			g.stored(k, l)
		}
	}
	learn(g)
	for level := g.changedKeys(); len(level) > 0; {
		var next []key
		for k, l := range s {
			if !slices.ContainsFunc(level, func(p key) bool { return p.tenant == k.tenant && p.ref == l.parent }) {
				continue
			}
			if t := g.stored(k, l); g.descend(t) {
				next = append(next, k)
			}
		}
		level = next
	}
	g.resolve()
	for _, t := range g.written() {
		s[t.key] = t.is
	}
}

// told is the shelf in words: "child: parent, root owner depth state".
func (s shelf) told() string {
	var out []string
	for k, l := range s {
		out = append(out, fmt.Sprintf("%s: %q, %q %s %s %d %s", k.ref, l.parent, l.root, l.owner.sub, basisNames[l.basis], l.depth, l.state))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// said is one thing that an event says.
type said struct {
	x     exchange // child and parent
	login string   // or a token that was issued
}

func (e said) about() []key {
	if e.login != "" {
		return []key{{"t", e.login}}
	}
	return []key{{"t", e.x.child}, {"t", e.x.parent}}
}

func (e said) tell(g *graph) {
	if e.login != "" {
		g.issue(key{"t", e.login}, owner{sub: "owner of " + e.login})
		return
	}
	g.learn(e.x)
}

func ex(child, parent string, at int) said {
	return said{x: exchange{tenant: "t", child: child, parent: parent, time: event.Time(at), owner: owner{sub: "owner of " + parent}}}
}

func TestLineage(t *testing.T) {
	deep := []said{{login: "a00"}}
	for i := range 60 {
		deep = append(deep, ex(fmt.Sprintf("a%02d", i+1), fmt.Sprintf("a%02d", i), i+1))
	}
	for _, x := range []struct {
		name string
		said []said
		want string
	}{
		{"in order", []said{{login: "a"}, ex("b", "a", 1), ex("c", "b", 2)}, `
a: "", "a" owner of a issued 0 complete
b: "a", "a" owner of a issued 1 complete
c: "b", "a" owner of a issued 2 complete`},
		{"the login is missing", []said{ex("b", "a", 1), ex("c", "b", 2)}, `
a: "", "a" owner of a unknown 0 pending
b: "a", "a" owner of a unknown 1 pending
c: "b", "a" owner of a unknown 2 pending`},
		{"the claim is enough", []said{{x: exchange{tenant: "t", child: "b", parent: "a", basis: claim, owner: owner{sub: "alice"}}}}, `
a: "", "a" alice claim 0 complete
b: "a", "a" alice claim 1 complete`},
		{"the claim knows more", []said{{x: exchange{tenant: "t", child: "b", parent: "a", basis: delegated, owner: owner{sub: "alice"}}}}, `
a: "", "a" alice delegated 0 pending
b: "a", "a" alice delegated 1 pending`},
		{"answered from a cache", []said{ex("b", "a", 5), ex("b", "a", 1), ex("b", "z", 9)}, `
a: "", "a" owner of a unknown 0 pending
b: "a", "a" owner of a unknown 1 pending
z: "", "z" owner of z unknown 0 pending`},
		{"a circle and what hangs on it", []said{ex("b", "a", 1), ex("c", "b", 2), ex("a", "c", 3), ex("d", "c", 4)}, `
a: "c", ""  unknown 0 cycle
b: "a", ""  unknown 0 cycle
c: "b", ""  unknown 0 cycle
d: "c", ""  unknown 0 cycle`},
		{"for itself", []said{ex("a", "a", 1)}, `
a: "a", ""  unknown 0 cycle`},
	} {
		s := shelf{}
		for _, e := range x.said {
			s.round(e.tell, e.about()...)
		}
		if diff := cmp.Diff(strings.TrimSpace(x.want), s.told()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.name, diff)
		}
	}
	s := shelf{}
	for _, e := range deep {
		s.round(e.tell, e.about()...)
	}
	for i, want := range map[int]string{
		50: `a50: "a49", "a00" owner of a00 issued 50 complete`, 51: `a51: "a50", ""  unknown 51 too_deep`, 60: `a60: "a59", ""  unknown 51 too_deep`,
	} {
		if !strings.Contains(s.told(), want) {
			t.Errorf("token %d: want %s in\n%s", i, want, s.told())
		}
	}
}

// Whatever the order in which events come, and however they are cut into rounds,
// with some of them again, the end is that of all at once.
func TestLineageOrder(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		n := 3 + rng.IntN(12)
		name := func(i int) string { return fmt.Sprintf("t%02d", i) }
		var all []said
		for i := range n {
			if rng.IntN(3) == 0 {
				all = append(all, said{login: name(i)})
			}
			for range 1 + rng.IntN(2) {
				parent := rng.IntN(n) // of later ones too: circles
				if rng.IntN(4) > 0 && i > 0 {
					parent = rng.IntN(i)
				}
				all = append(all, ex(name(i), name(parent), rng.IntN(20)))
			}
		}
		want := shelf{}
		about := []key{}
		want.round(func(g *graph) {
			for _, e := range all {
				e.tell(g)
			}
		}, about...)
		for range 4 {
			got, order := shelf{}, append(slices.Clone(all), all[:rng.IntN(len(all))]...)
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for len(order) > 0 {
				k := 1 + rng.IntN(len(order))
				about = about[:0]
				for _, e := range order[:k] {
					about = append(about, e.about()...)
				}
				got.round(func(g *graph) {
					for _, e := range order[:k] {
						e.tell(g)
					}
				}, about...)
				order = order[k:]
			}
			if diff := cmp.Diff(want.told(), got.told()); diff != "" {
				t.Fatalf("seed %d (-at once +in rounds):\n%s", seed, diff)
			}
		}
	}
}
