package mcpaudit

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// RecordDecision records what a policy engine, or the server's own rules,
// answered about the call that ctx belongs to, and ties the call to it. A decision
// without an ID gets one. Leave it out where the engine reports its decisions
// itself, and call [Call.Decided] with its id.
func (a *Audit) RecordDecision(ctx context.Context, d event.Decision) error {
	if d.ID == "" {
		d.ID = uuid.NewString()
	}
	e := &event.Event{Kind: event.PermissionDecision, Type: event.TypeDecision, Outcome: event.Success, Decision: d}
	switch d.Effect {
	case event.Deny:
		e.Outcome = event.Denied
	case event.EffectError:
		e.Outcome = event.Error
	}
	a.belongs(ctx, e)
	e.Correlation.DecisionID = d.ID
	if err := a.cfg.Emitter.Emit(ctx, e); err != nil {
		return fmt.Errorf("record a decision: %w", err)
	}
	if c := CallFrom(ctx); c != nil {
		c.Decided(d.ID)
	}
	return nil
}

// Exchange is a token exchange (RFC 8693) that the server made. Tokens are
// hashed here and not kept.
type Exchange struct {
	// SubjectToken, ActorToken and IssuedToken as they went over the wire; empty
	// when there was none.
	SubjectToken, ActorToken, IssuedToken string
	// Facts of the exchange; its references are taken from the tokens.
	Facts event.Exchange
	// Actor is the server's own identity at the authorization server.
	Actor event.Party
	// Outcome; empty is success.
	Outcome event.Outcome
}

// grantType is that of RFC 8693 section 2.1.
const grantType = "urn:ietf:params:oauth:grant-type:token-exchange"

// RecordExchange records an exchange that the server made to go on with the call
// that ctx belongs to. Leave it out where the authorization server reports its
// exchanges itself, which is the better witness.
func (a *Audit) RecordExchange(ctx context.Context, x Exchange) error {
	e := &event.Event{Kind: event.TokenExchange, Type: event.TypeTokenExchange, Outcome: x.Outcome, Exchange: x.Facts}
	if e.Outcome == "" {
		e.Outcome = event.Success
	}
	a.belongs(ctx, e)
	e.Tool = event.Tool{}
	e.Actor, e.Chain, e.ChainRaw, e.ChainRule = x.Actor, nil, "", ""
	if e.Exchange.GrantType == "" {
		e.Exchange.GrantType = grantType
	}
	e.Exchange.SubjectTokenRef, e.Exchange.ActorTokenRef, e.Exchange.IssuedTokenRef = reference(x.SubjectToken), reference(x.ActorToken), reference(x.IssuedToken)
	if e.Token.Ref != e.Exchange.SubjectTokenRef {
		e.Token = event.Token{Ref: e.Exchange.SubjectTokenRef, Verified: event.TokenUnverified}
	}
	if err := a.cfg.Emitter.Emit(ctx, e); err != nil {
		return fmt.Errorf("record a token exchange: %w", err)
	}
	return nil
}

// belongs copies from the call that ctx belongs to.
func (a *Audit) belongs(ctx context.Context, e *event.Event) {
	e.Time, e.Server = event.TimeOf(a.cfg.Now()), a.cfg.Server
	c := CallFrom(ctx)
	if c == nil {
		return
	}
	c.presented.Describe(e)
	e.Correlation = c.Correlation()
	c.Update(func(call *event.Event) { e.Tool = event.Tool{Name: call.Tool.Name} })
}

func reference(raw string) string {
	if raw == "" {
		return ""
	}
	return event.TokenRef(raw)
}
