package chain

import (
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// party takes what an event says of the token's claims, and notes where two
// events contradict each other.
func (t *token) party(e *event.Event) {
	if t.Subject == (event.Party{}) {
		t.Subject = e.Subject
	} else if e.Subject.Sub != "" && e.Subject.Iss == t.Subject.Iss && e.Subject.Sub != t.Subject.Sub {
		t.problem("events name two subjects of this token, " + t.Subject.Sub + " and " + e.Subject.Sub)
	}
	if t.Actor == (event.Party{}) {
		t.Actor = e.Actor
	}
	if len(t.Chain) == 0 {
		t.Chain, t.ChainRule, t.ChainRaw = e.Chain, e.ChainRule, e.ChainRaw
	} else if len(e.Chain) > 0 && !sameLinks(t.Chain, e.Chain) {
		t.problem("events name two act claims of this token, " + path(t.Chain) + " and " + path(e.Chain))
	}
	if e.ChainMalformed != "" {
		t.problem("its act claim could not be read whole: " + e.ChainMalformed)
	}
	if e.ChainTruncated {
		t.problem("its source left out actors of the act claim")
	}
	t.described = t.described || len(e.Chain) > 0 || e.ChainRule != "" || e.Kind == event.Credential || e.Token.Verified == event.TokenVerified && e.Kind == event.ToolInvocation
}

// path writes an act claim, the current actor first.
func path(links []event.Link) string {
	if len(links) == 0 {
		return "nobody"
	}
	subs := make([]string, len(links))
	for i, l := range links {
		subs[i] = l.Sub
	}
	return strings.Join(subs, " < ")
}

// contradict holds the claims of a token against those of the token that it was
// exchanged for, by the rule of who nested them.
func (b *builder) contradict(t, parent *token) {
	if t.Tenant != parent.Tenant {
		t.problem("crosses from tenant " + parent.Tenant + " to tenant " + t.Tenant)
	}
	if s, p := t.Subject, parent.Subject; s.Sub != "" && p.Sub != "" && s.Iss == p.Iss && s.Sub != p.Sub {
		t.problem("the subject changed from " + p.Sub + " to " + s.Sub)
	}
	if len(t.Chain) == 0 { // not every source tells it
		return
	}
	observed, known := b.continued(t, parent)
	if known && !sameLinks(t.Chain[1:], observed) {
		t.problem("the act claim says " + path(t.Chain[1:]) + " before " + t.Chain[0].Sub + ", the exchanges say " + path(observed))
	}
}

// continued is what must stand below the current actor in the claim of t, when
// that is known.
func (b *builder) continued(t, parent *token) (links []event.Link, known bool) {
	switch t.ChainRule {
	case event.Flat: // says who, not in which order it came to be
		return nil, false
	case event.ActorChained:
		if sameLinks(t.Chain[1:], parent.Chain) || t.exchange == nil {
			return nil, false
		}
		own := b.tokens[key{b.realm(t.Tenant), t.exchange.Exchange.ActorTokenRef}]
		if own == nil || !own.described {
			return nil, false
		}
		return own.Chain, true
	}
	return parent.Chain, parent.described || len(parent.Chain) > 0
}

// sameLinks compares who acted; the type is a label.
func sameLinks(a, b []event.Link) bool {
	return slices.EqualFunc(a, b, func(x, y event.Link) bool { return x.Iss == y.Iss && x.Sub == y.Sub })
}

func party(l event.Link) event.Party { return event.Party{Iss: l.Iss, Sub: l.Sub, Type: l.Type} }

// root puts above a token without parent the hops that only its act claim
// tells of, so that nobody takes the first token seen for the beginning.
func (t *token) root() *Hop {
	h := &t.Hop
	if t.Missing == nil || len(t.Chain) == 0 {
		return h
	}
	for i := 1; i <= len(t.Chain); i++ {
		above := &Hop{
			Tenant: t.Tenant, Subject: t.Subject, Chain: t.Chain[i:], ChainRule: t.ChainRule, Join: ByClaim,
			Missing: &Missing{What: missingToken}, Children: []*Hop{h},
		}
		if i < len(t.Chain) {
			above.Actor = party(t.Chain[i])
		} else {
			above.Join = ""
		}
		if h.Join == "" {
			h.Join = ByClaim
		}
		h.Strength, above.Strength = h.Join.Strength(), above.Join.Strength()
		h = above
	}
	return h
}
