package chain

import (
	"cmp"

	"github.com/custody-audit/custody/schemas/event"
)

// Missing is something that must have been and that no event tells of.
type Missing struct {
	// What was not seen.
	What string `json:"what"`
	// Reason why; empty when nobody looked.
	Reason Reason `json:"reason,omitempty"`
	// Detail is what the reason rests on.
	Detail string `json:"detail,omitempty"`
}

// Reason is why something was not seen.
type Reason string

// The reasons.
const (
	NoSource  Reason = "no_source_connected" // nobody reports such events here
	Retention Reason = "outside_retention"   // nothing is kept from that time
	NeverSeen Reason = "never_seen"          // somebody reports such events, and this one did not come
)

// Words of the reason.
func (r Reason) Words() string {
	switch r {
	case NoSource:
		return "no source connected"
	case Retention:
		return "outside retention"
	case NeverSeen:
		return "never seen"
	}
	return ""
}

// What is missing.
const (
	missingExchange = "the exchange that issued this token was not seen"
	missingIssue    = "no event says who issued this token"
	missingSubject  = "the exchange does not say which token this one was issued for"
	missingToken    = "no event with this token was seen"
	missingRef      = "the event does not say which token was presented"
	missingDecision = "no decision was seen"
)

// Gap is one missing thing, with what one must know to find out why.
type Gap struct {
	Tenant string
	// Decision is what is missing: the decision on a call at Server; else an
	// exchange or an issue of a token by Issuer.
	Decision bool
	Server   string
	Issuer   string
	// Subject and Actor of the token.
	Subject, Actor event.Party
	// Unissued says that of a token only uses are known: an exchange whose report
	// names no token may have been its.
	Unissued bool
	// At is when it must have been, as far as is known.
	At event.Time

	missing *Missing
}

// Because says why.
func (g *Gap) Because(reason Reason, detail string) {
	g.missing.Reason, g.missing.Detail = reason, detail
}

// Gaps returns all that is missing in the chain, parents first.
func (c *Chain) Gaps() []*Gap {
	var out []*Gap
	c.Root.Walk(func(h *Hop, _ int) {
		if h.Missing != nil {
			out = append(out, &Gap{
				Tenant: h.Tenant, Issuer: h.issuerOrBelow(), Subject: h.Subject, Actor: h.Actor, At: h.earliest(), missing: h.Missing,
				Unissued: h.Missing.What == missingExchange || h.Missing.What == missingIssue,
			})
		}
		for i := range h.Calls {
			if call := &h.Calls[i]; call.Missing != nil {
				out = append(out, &Gap{Tenant: h.Tenant, Decision: true, Server: call.Server.ID, At: call.Time, missing: call.Missing})
			}
		}
	})
	return out
}

// issuerOrBelow is the issuer of the token or, for a hop that is known from a claim
// only, of whoever vouches for its actor.
func (h *Hop) issuerOrBelow() string {
	if h.Issuer != "" || len(h.Children) == 0 || h.TokenRef != "" {
		return cmp.Or(h.Issuer, h.Actor.Iss, h.Subject.Iss)
	}
	return cmp.Or(h.Actor.Iss, h.Subject.Iss, h.Children[0].issuerOrBelow())
}

// Known is the first time that is known of the token itself; 0: none is.
func (h *Hop) Known() event.Time {
	at := h.IssuedAt
	first := func(t event.Time) {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	for _, e := range h.Evidence {
		first(e.Time)
	}
	for i := range h.Calls {
		first(h.Calls[i].Time)
	}
	return at
}

// earliest is when the token was there at the latest.
func (h *Hop) earliest() event.Time {
	at := h.Known()
	if at != 0 {
		return at
	}
	for _, child := range h.Children {
		if t := child.earliest(); t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	return at
}
