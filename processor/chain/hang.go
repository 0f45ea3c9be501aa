package chain

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// claim is what a token says of who stands behind it, seen in a group.
type claim struct {
	realm, subject, links string
	group                 group
}

// holder is who presents a token for whom, in a trace or, when that is empty, in any.
type holder struct{ realm, subject, actor, trace string }

// tolerance is how far clocks of two sources may differ, in microseconds.
const tolerance = 5_000_000

func person(p event.Party) string { return p.Iss + "\x00" + p.Sub }

func linksKey(links []event.Link) string {
	var sb strings.Builder
	for _, l := range links {
		sb.WriteString(l.Iss + "\x00" + l.Sub + "\x01")
	}
	return sb.String()
}

func (b *builder) holderOf(tenant string, subject, actor event.Party, links []event.Link) holder {
	if actor.Sub == "" && len(links) > 0 {
		actor = party(links[0])
	}
	return holder{realm: b.realm(tenant), subject: person(subject), actor: person(actor)}
}

// index sorts the tokens by what a search for a parent, or for the token of a
// call, knows. They are in the order of their birth from now on.
func (b *builder) index() {
	slices.SortStableFunc(b.ordered, func(x, y *token) int {
		return cmp.Or(cmp.Compare(x.born, y.born), cmp.Compare(x.TokenRef, y.TokenRef))
	})
	b.claims, b.holders = map[claim][]*token{}, map[holder][]*token{}
	for _, t := range b.ordered {
		if t.Subject.Sub == "" {
			continue
		}
		links := linksKey(t.Chain)
		for g := range t.groups {
			c := claim{b.realm(t.Tenant), person(t.Subject), links, g}
			b.claims[c] = append(b.claims[c], t)
		}
		h := b.holderOf(t.Tenant, t.Subject, t.Actor, t.Chain)
		b.holders[h] = append(b.holders[h], t)
		for g := range t.groups {
			if g.by == ByTrace {
				h.trace = g.id
				b.holders[h] = append(b.holders[h], t)
			}
		}
	}
}

// hang finds the parent of a token.
func (b *builder) hang(t *token) {
	join := ByLineage
	if t.exchange == nil && !t.issued && !t.Static {
		join = b.stoodFor(t)
	}
	if t.exchange != nil && t.exchange.Exchange.SubjectTokenRef != "" {
		parent := b.tokens[key{b.realm(t.Tenant), t.exchange.Exchange.SubjectTokenRef}]
		if parent.below(t) {
			t.problem("cycle: the token was issued for one that descends from it")
			return
		}
		b.put(t, parent, join)
		return
	}
	if t.exchange == nil && (t.issued || t.Static || len(t.Chain) == 0) {
		if !t.issued && t.Missing == nil {
			t.Missing = &Missing{What: missingIssue}
		}
		return
	}
	if t.exchange == nil && t.Missing == nil {
		t.Missing = &Missing{What: missingExchange}
	}
	if parent, by := b.guess(t); parent != nil {
		b.put(t, parent, by)
		return
	}
	if t.exchange != nil {
		t.Missing = &Missing{What: missingSubject}
	}
}

// stoodFor finds an exchange whose report names no token and that stood for t
// when it was first used: by its jti, or for the same subject and actor in its time.
func (b *builder) stoodFor(t *token) Join {
	if t.Subject.Sub == "" {
		return ByLineage
	}
	var found *event.Event
	by := ByValidity
	for _, e := range b.unnamed[b.holderOf(t.Tenant, t.Subject, t.Actor, t.Chain)] {
		if id := issuedID(e); id != "" && t.TokenID != "" {
			if id == t.TokenID {
				found, by = e, ByTokenID
				break
			}
			continue
		}
		until := expiry(e.Time, e.Exchange.ExpiresIn)
		if until == 0 || t.born < e.Time-tolerance || t.born > until || !compatible(t.Audience, either(e.Exchange.Resource, e.Exchange.RequestedAudience)) {
			continue
		}
		found = e // the latest before its use
	}
	if found != nil {
		t.exchanged(found)
		t.Evidence = append(t.Evidence, evidence(found))
	}
	return by
}

// issuedID is the jti of the token issued, where the source notes it.
func issuedID(e *event.Event) string { return e.Attributes["keycloak.issued_token_jti"] }

// compatible says that nothing speaks against both being the same audience.
func compatible(a, b []string) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// learnUnnamed keeps an exchange that does not say which token it issued.
func (b *builder) learnUnnamed(e *event.Event) {
	if e.Subject.Sub == "" {
		return
	}
	if b.unnamed == nil {
		b.unnamed = map[holder][]*event.Event{}
	}
	h := b.holderOf(e.Tenant, e.Subject, e.Actor, e.Chain)
	b.unnamed[h] = append(b.unnamed[h], e)
}

// below says whether t is other or descends from it.
func (t *token) below(other *token) bool {
	for p := t; p != nil; p = p.parent {
		if p == other {
			return true
		}
	}
	return false
}

func (b *builder) put(t, parent *token, join Join) {
	t.parent, t.Join = parent, join
	t.ScopeAdded, t.ScopeRemoved = difference(t.Scope, parent.Scope), difference(parent.Scope, t.Scope)
	if len(parent.Scope) == 0 || len(t.Scope) == 0 {
		t.ScopeAdded, t.ScopeRemoved = nil, nil // not known is not empty
	}
	if len(t.ScopeAdded) > 0 && !t.StepUp {
		t.problem("scope widened by " + strings.Join(t.ScopeAdded, " "))
	}
	if join == ByLineage {
		b.contradict(t, parent)
	}
}

// guess looks for the token that t must have been exchanged for: the same
// subject, the act claim one actor shorter, in the same transaction, task or
// trace, and there before t.
func (b *builder) guess(t *token) (*token, Join) {
	if len(t.Chain) == 0 {
		return nil, ""
	}
	before := []string{linksKey(t.Chain[1:])}
	if len(t.Chain) > 1 && (t.ChainRule == event.ActorChained || t.ChainRule == event.Flat) {
		before = append(before, "") // what nests there is not the subject token's claim
	}
	for _, by := range groupJoins {
		for _, links := range before {
			if p := b.latest(t, links, by); p != nil {
				return p, by
			}
		}
	}
	return nil, ""
}

// latest returns the youngest token with such a claim that was there before t, in
// a group of t.
func (b *builder) latest(t *token, links string, by Join) *token {
	var best *token
	for g := range t.groups {
		if g.by != by {
			continue
		}
		of := b.claims[claim{b.realm(t.Tenant), person(t.Subject), links, g}]
		for i := sort.Search(len(of), func(i int) bool { return of[i].born > t.born }) - 1; i >= 0; i-- {
			p := of[i]
			if p == t || p.below(t) {
				continue
			}
			if best == nil || p.born > best.born || p.born == best.born && p.TokenRef > best.TokenRef {
				best = p
			}
			break
		}
	}
	return best
}

func difference(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}
