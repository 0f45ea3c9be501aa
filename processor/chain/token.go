package chain

import (
	"cmp"
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// token is a hop in the making.
type token struct {
	Hop
	parent    *token
	born      event.Time // earliest sign of it
	issued    bool       // an event says that it was issued outside an exchange
	described bool       // an event tells its claims, so that no act claim is none
	exchange  *event.Event
	calls     []*event.Event
	joined    map[*event.Event]Join // calls that do not name it, and by what they are its
	groups    map[group]bool
}

// group is an undertaking that a token was seen in.
type group struct {
	by Join // transaction, task or trace
	id string
}

var groupJoins = []Join{ByTransaction, ByTask, ByTrace}

// credential takes an event about the token's own life.
func (t *token) credential(e *event.Event) {
	t.Evidence = append(t.Evidence, evidence(e))
	if e.Type == event.TypeCredentialRevoked {
		t.RevokedAt = cmp.Or(t.RevokedAt, e.Time)
		return
	}
	t.issued = true
	t.party(e)
	t.Source = cmp.Or(t.Source, e.Source.ID)
}

func evidence(e *event.Event) Evidence {
	return Evidence{e.ID, e.Kind, e.Type, e.Time, e.Source.ID, e.Outcome}
}

// exchanged takes what the exchange says of the token it issued.
func (t *token) exchanged(e *event.Event) {
	x := e.Exchange
	t.exchange = e
	t.party(e)
	t.ExchangeEvent, t.Source, t.StepUp = e.ID, e.Source.ID, x.StepUp
	t.facts(event.Token{
		Scope: x.GrantedScope, Audience: either(x.Resource, x.RequestedAudience), IssuedAt: e.Time,
		ExpiresAt: expiry(e.Time, x.ExpiresIn),
	})
}

func expiry(from event.Time, seconds int64) event.Time {
	if seconds == 0 {
		return 0
	}
	return from + event.Time(seconds*1_000_000)
}

func either(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

func (t *token) seenIn(e *event.Event) {
	t.born = min(t.born, e.Time)
	for _, g := range groups(e) {
		t.groups[g] = true
	}
}

// groups are the undertakings that an event names, strongest first.
func groups(e *event.Event) []group {
	out := make([]group, 0, len(groupJoins))
	for i, id := range []string{e.Correlation.TransactionID, e.Correlation.TaskID, e.Correlation.TraceID} {
		if id != "" {
			out = append(out, group{groupJoins[i], id})
		}
	}
	return out
}

// facts fills what is not known yet: the first to say something is believed,
// because events are taken in the order of time.
func (t *token) facts(f event.Token) {
	t.TokenID = cmp.Or(t.TokenID, f.JTI)
	t.Issuer = cmp.Or(t.Issuer, f.Iss)
	t.Audience = either(t.Audience, f.Audience)
	t.Scope = either(t.Scope, f.Scope)
	t.IssuedAt = cmp.Or(t.IssuedAt, f.IssuedAt)
	t.ExpiresAt = cmp.Or(t.ExpiresAt, f.ExpiresAt)
	t.Static = t.Static || f.Static
	if t.Verified == "" || t.Verified == event.TokenUnverified {
		t.Verified = cmp.Or(f.Verified, t.Verified)
	}
}

func (t *token) problem(text string) {
	if !slices.Contains(t.Problems, text) {
		t.Problems = append(t.Problems, text)
	}
}

func (t *token) complete() {
	if t.IssuedAt != 0 && t.ExpiresAt != 0 {
		t.LifetimeSeconds = int64(t.ExpiresAt.Sub(t.IssuedAt).Seconds())
	}
	if len(t.Chain) > 0 && t.Actor == (event.Party{}) {
		t.Actor = party(t.Chain[0])
	}
	t.Strength = t.Join.Strength()
}
