package chain

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// Build returns the chains that the events tell of, the deepest first. The same
// token reference in two tenants is two tokens.
func Build(events []*event.Event) []*Chain { return build(events, false) }

// BuildAcross returns the chains of all tenants together, for who may see them
// all: a reference is the same token wherever it is seen.
func BuildAcross(events []*event.Event) []*Chain { return build(events, true) }

func build(events []*event.Event, across bool) []*Chain {
	b := &builder{across: across, tokens: map[key]*token{}, ids: map[key]*token{}}
	ordered := order(events)
	for _, e := range ordered {
		if !e.needsPlace() {
			b.learn(e.Event)
		}
	}
	b.index()
	for _, e := range ordered {
		if e.needsPlace() {
			b.place(e.Event)
		}
	}
	for _, t := range b.ordered {
		b.hang(t)
	}
	return b.chains()
}

// told is an event in the builder's order.
type told struct{ *event.Event }

// needsPlace says that the event uses a token without saying which: it is placed
// when all tokens are known.
func (e told) needsPlace() bool {
	return e.Token.Ref == "" && (e.Kind == event.ToolInvocation || e.Kind == event.Credential && e.Token.JTI != "")
}

// order sorts by time, and takes one event of each id: the first by its bytes,
// should there be another with it.
func order(events []*event.Event) []told {
	ordered := make([]told, len(events))
	for i, e := range events {
		ordered[i] = told{e}
	}
	slices.SortFunc(ordered, func(a, b told) int {
		c := cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.ID, b.ID))
		if c == 0 && a.Event != b.Event {
			c = bytes.Compare(a.Canonical(), b.Canonical())
		}
		return c
	})
	seen := make(map[string]bool, len(ordered))
	return slices.DeleteFunc(ordered, func(e told) bool {
		before := seen[e.ID]
		seen[e.ID] = true
		return before
	})
}

// key names a token or, for its jti, a token of an issuer.
type key struct{ realm, name string }

type builder struct {
	across    bool
	tokens    map[key]*token
	ids       map[key]*token // by issuer and jti
	ordered   []*token       // by first sight
	claims    map[claim][]*token
	holders   map[holder][]*token
	unnamed   map[holder][]*event.Event // exchanges that do not say which token they issued
	decisions decisions
}

// realm is within what a name is unique.
func (b *builder) realm(tenant string) string {
	if b.across {
		return ""
	}
	return tenant
}

func (b *builder) token(e *event.Event, ref string) *token {
	k := key{b.realm(e.Tenant), ref}
	t := b.tokens[k]
	if t == nil {
		t = b.add(e, Hop{TokenRef: ref})
		b.tokens[k] = t
	}
	return t
}

func (b *builder) add(e *event.Event, h Hop) *token {
	h.Tenant = e.Tenant
	t := &token{Hop: h, born: e.Time, groups: map[group]bool{}}
	b.ordered = append(b.ordered, t)
	return t
}

// learn takes from one event what it says about tokens.
func (b *builder) learn(e *event.Event) {
	switch e.Kind {
	case event.TokenExchange:
		b.learnExchange(e)
		return
	case event.PermissionDecision:
		b.decisions.learn(b.realm(e.Tenant), e)
	}
	if e.Token.Ref != "" {
		b.use(b.token(e, e.Token.Ref), e)
	}
}

// use takes from an event what it says about the token presented.
func (b *builder) use(t *token, e *event.Event) {
	t.seenIn(e)
	t.facts(e.Token)
	if e.Token.JTI != "" {
		if id := b.id(e); b.ids[id] == nil {
			b.ids[id] = t
		}
	}
	switch e.Kind {
	case event.Credential:
		t.credential(e)
	case event.ToolInvocation:
		t.calls = append(t.calls, e)
		t.party(e)
	case event.PermissionDecision:
		t.party(e)
	}
}

func (b *builder) id(e *event.Event) key {
	return key{b.realm(e.Tenant), cmp.Or(e.Token.Iss, e.Subject.Iss) + "\x00" + e.Token.JTI}
}

func (b *builder) learnExchange(e *event.Event) {
	x := e.Exchange
	var parent *token
	if x.SubjectTokenRef != "" {
		parent = b.token(e, x.SubjectTokenRef)
		parent.seenIn(e)
		if e.Token.Ref == x.SubjectTokenRef || e.Token.Ref == "" {
			parent.facts(e.Token)
		}
		parent.Scope = either(parent.Scope, x.SubjectScope)
		if parent.Subject == (event.Party{}) {
			parent.Subject = e.Subject
		}
	}
	switch {
	case e.Outcome != event.Success:
		if parent != nil { // what was tried with it
			parent.Evidence = append(parent.Evidence, evidence(e))
		}
	case x.IssuedTokenRef == "":
		b.learnUnnamed(e)
	default:
		b.issue(e)
	}
}

// issue takes a successful exchange that names the token it issued.
func (b *builder) issue(e *event.Event) {
	x := e.Exchange
	t := b.token(e, x.IssuedTokenRef)
	t.Evidence = append(t.Evidence, evidence(e))
	if t.exchange != nil {
		t.Reused++ // a cache answered again
		if x.SubjectTokenRef != "" && t.exchange.Exchange.SubjectTokenRef != x.SubjectTokenRef {
			t.problem("another exchange says that it was issued for another token: " + e.ID)
		}
		return
	}
	t.seenIn(e)
	t.exchanged(e)
}

// chains turns the tokens into trees.
func (b *builder) chains() []*Chain {
	for _, t := range b.ordered {
		t.complete()
		for _, e := range t.calls {
			t.Calls = append(t.Calls, b.call(t, e))
		}
	}
	b.leftOver()
	var roots []*token
	for _, t := range b.ordered {
		if t.parent != nil {
			t.parent.Children = append(t.parent.Children, &t.Hop)
		} else {
			roots = append(roots, t)
		}
	}
	out := make([]*Chain, len(roots))
	for i, t := range roots {
		out[i] = measure(&Chain{Tenant: t.Tenant, Root: t.root()})
	}
	slices.SortStableFunc(out, func(a, b *Chain) int { return cmp.Compare(b.Depth, a.Depth) })
	return out
}

// leftOver shows decisions that belong to no call with the token they were about:
// the call may be what was not seen.
func (b *builder) leftOver() {
	for _, d := range b.decisions.all {
		if d.Token.Ref == "" || b.decisions.used[d] {
			continue
		}
		t := b.token(d, d.Token.Ref)
		t.Evidence = append(t.Evidence, evidence(d))
	}
	for _, t := range b.ordered {
		slices.SortStableFunc(t.Evidence, func(x, y Evidence) int {
			return cmp.Or(cmp.Compare(x.Time, y.Time), cmp.Compare(x.Event, y.Event))
		})
	}
}

func measure(c *Chain) *Chain {
	c.Root.Walk(func(h *Hop, depth int) {
		c.Depth = max(c.Depth, depth)
		if h.Missing != nil {
			c.Missing++
		}
	})
	return c
}

// Tokens returns the references of all tokens of the chain, sorted.
func (c *Chain) Tokens() []string {
	refs := map[string]bool{}
	c.Root.Walk(func(h *Hop, _ int) {
		if h.TokenRef != "" {
			refs[h.TokenRef] = true
		}
	})
	return slices.Sorted(maps.Keys(refs))
}
