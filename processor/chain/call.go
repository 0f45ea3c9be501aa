package chain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// place finds the token of an event that does not name one: by its jti, in the
// same trace with the same holder, or the holder's at that server in its time.
func (b *builder) place(e *event.Event) {
	t, by := b.ids[b.id(e)], ByTokenID
	if t == nil || e.Token.JTI == "" {
		t, by = b.presented(e)
	}
	if t == nil {
		t, by = b.anonymous(e), ""
	}
	if t.joined == nil {
		t.joined = map[*event.Event]Join{}
	}
	t.joined[e] = by
	b.use(t, e)
}

// maxPlaces bounds how many tokens of one holder are looked at for one event.
const maxPlaces = 1000

// presented is the youngest token of the event's holder that it may have been
// made with.
func (b *builder) presented(e *event.Event) (*token, Join) {
	if e.Kind != event.ToolInvocation || e.Subject.Sub == "" {
		return nil, ""
	}
	h := b.holderOf(e.Tenant, e.Subject, e.Actor, e.Chain)
	fits := func(t *token) bool {
		return t.born <= e.Time+tolerance && compatible(t.Audience, audienceOf(e)) && (t.TokenID == "" || e.Token.JTI == "" || t.TokenID == e.Token.JTI)
	}
	if h.trace = e.Correlation.TraceID; h.trace != "" {
		if t := youngest(b.holders[h], fits); t != nil {
			return t, ByTrace
		}
	}
	h.trace = ""
	return youngest(b.holders[h], func(t *token) bool {
		return fits(t) && t.IssuedAt != 0 && e.Time >= t.IssuedAt-tolerance && t.ExpiresAt != 0 && e.Time <= t.ExpiresAt
	}), ByValidity
}

func youngest(of []*token, fits func(*token) bool) *token {
	for _, t := range slices.Backward(of[max(0, len(of)-maxPlaces):]) {
		if fits(t) {
			return t
		}
	}
	return nil
}

func audienceOf(e *event.Event) []string {
	if len(e.Token.Audience) > 0 {
		return e.Token.Audience
	}
	var out []string
	for _, s := range []string{e.Server.URI, e.Server.ID} {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// anonymous is the token of those who present one that nobody refers to: one for
// each holder, server and jti.
func (b *builder) anonymous(e *event.Event) *token {
	h := b.holderOf(e.Tenant, e.Subject, e.Actor, e.Chain)
	k := key{h.realm, strings.Join([]string{"", h.subject, linksKey(e.Chain), h.actor, e.Server.ID, e.Token.JTI}, "\x02")}
	if e.Subject.Sub == "" {
		k.name += e.Correlation.TraceID + e.Source.ID
	}
	t := b.tokens[k]
	if t == nil {
		t = b.add(e, Hop{})
		b.tokens[k] = t
		if e.Token.JTI == "" {
			t.Missing = &Missing{What: missingRef}
		}
	}
	return t
}

// call judges one tool invocation.
func (b *builder) call(t *token, e *event.Event) Call {
	c := Call{
		Event: e.ID, Time: e.Time, Server: e.Server, Outcome: e.Outcome, Resource: e.Upstream, Source: e.Source.ID, TraceID: e.Correlation.TraceID,
		Tool: cmp.Or(e.Tool.Name, e.Tool.ServerMethod), Join: ByToken, Decision: b.decisions.on(b.realm(e.Tenant), e),
	}
	if by, placed := t.joined[e]; placed {
		c.Join = by
	}
	c.Strength = c.Join.Strength()
	ran := e.Outcome == event.Success || e.Outcome == event.Failure
	switch {
	case c.Decision == nil && ran && (e.Type == event.TypeToolCall || e.Tool.Name != ""):
		c.Missing = &Missing{What: missingDecision}
	case c.Decision == nil:
	case c.Decision.Effect == event.Deny && ran:
		c.Problems = append(c.Problems, "ran although the decision was deny")
	case c.Decision.Effect != event.Allow && ran:
		c.Problems = append(c.Problems, fmt.Sprintf("ran although the decision was %s", c.Decision.Effect))
	}
	if uri := e.Server.URI; uri != "" && len(t.Audience) > 0 && !slices.Contains(t.Audience, uri) && !slices.Contains(t.Audience, e.Server.ID) {
		c.Problems = append(c.Problems, "the token was not issued for this server")
	}
	if reason, failed := strings.CutPrefix(string(e.Token.Verified), string(event.TokenFailed)); failed {
		c.Problems = append(c.Problems, "token check failed: "+reason)
	}
	if t.ExpiresAt != 0 && e.Time > t.ExpiresAt {
		c.Problems = append(c.Problems, "the token had expired")
	}
	if t.RevokedAt != 0 && e.Time > t.RevokedAt {
		c.Problems = append(c.Problems, "the token had been revoked")
	}
	return c
}
