package story

import (
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

const (
	grantType       = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// login issues a token to a principal who proved who they are.
func (t *tenant) login(name string, who event.Party, audience string, lasts time.Duration, scope ...string) token {
	k := token{subject: who, facts: event.Token{
		Ref: t.ref(who.Sub + " at idp"), JTI: "jti-" + name, Iss: t.iss, Audience: []string{audience}, Scope: scope,
		IssuedAt: t.now, ExpiresAt: t.now.Add(lasts), TokenType: "Bearer", Verified: event.TokenVerified,
	}}
	e := &event.Event{Kind: event.Credential, Type: event.TypeCredentialIssued}
	t.bears(e, k)
	t.add(name, t.sts, e)
	return k
}

// exchange is one token exchange about to happen.
type exchange struct {
	of     token       // the subject token
	by     event.Party // who acts from now on; its own token is the actor token
	at     event.Server
	scope  []string // asked for and granted
	lasts  time.Duration
	stepUp bool
}

// exchange trades a token for one with a new actor outermost, for one server.
func (t *tenant) exchange(name string, x exchange) token {
	issued, e := t.exchanged(name, x)
	t.trace(name, e)
	t.add(name, t.sts, e)
	return issued
}

// withhold makes the exchange happen while nobody hears of it.
func (t *tenant) withhold(name string, x exchange) token {
	issued, _ := t.exchanged(name, x)
	t.number(t.sts)
	t.wait(step)
	return issued
}

// repeat reports that a gateway answered from its cache: the same exchange and
// the same token, and no request that reached the token service.
func (t *tenant) repeat(name, of string, gateway source) {
	first := t.named[of]
	e := &event.Event{Kind: first.Kind, Type: first.Type, Subject: first.Subject, Token: first.Token, Exchange: first.Exchange}
	t.delegates(e, first.Chain)
	e.Server, e.Correlation.TaskID = first.Server, first.Correlation.TaskID
	e.Exchange.Cached = true
	e.Exchange.ExpiresIn -= int64(t.now.Sub(first.Time) / time.Second)
	t.trace(name, e)
	t.add(name, gateway, e)
}

func (t *tenant) exchanged(name string, x exchange) (token, *event.Event) {
	issued := token{subject: x.of.subject, chain: append([]event.Link{{Iss: x.by.Iss, Sub: x.by.Sub, Type: x.by.Type}}, x.of.chain...)}
	issued.facts = event.Token{
		Ref: t.ref(x.of.subject.Sub + " via " + x.by.Sub + " at " + x.at.ID + ", " + name), JTI: "jti-" + name, Iss: t.iss, Audience: []string{x.at.URI}, Scope: x.scope,
		IssuedAt: t.now, ExpiresAt: t.now.Add(x.lasts), TokenType: "Bearer", Verified: event.TokenVerified,
	}
	e := &event.Event{Kind: event.TokenExchange, Type: event.TypeTokenExchange}
	t.bears(e, x.of)
	t.delegates(e, issued.chain)
	e.Client = event.Client{ID: x.by.Sub, Verified: true}
	e.Correlation.TaskID = t.task()
	e.Exchange = event.Exchange{
		GrantType: grantType, SubjectTokenRef: x.of.facts.Ref, ActorTokenRef: t.ref(x.by.Sub + " workload"), IssuedTokenRef: issued.facts.Ref,
		RequestedTokenType: accessTokenType, IssuedTokenType: accessTokenType,
		RequestedScope: x.scope, SubjectScope: x.of.facts.Scope, GrantedScope: x.scope,
		RequestedAudience: []string{x.at.ID}, Resource: []string{x.at.URI},
		ExpiresIn: int64(x.lasts / time.Second), StepUp: x.stepUp,
	}
	return issued, e
}
