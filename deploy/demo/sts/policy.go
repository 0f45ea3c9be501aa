package sts

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// ValidateTokenExchangeRequest is the exchange policy. The client acts for
// itself, at one audience it is registered for, with scopes it is registered for
// there, and with none that the subject token lacks, unless the client is lax.
func (s *storage) ValidateTokenExchangeRequest(ctx context.Context, req op.TokenExchangeRequest) error {
	client := s.clients[req.GetClientID()]
	subject := req.GetExchangeSubjectTokenClaims()
	noteExchange(ctx, &s.directory, req)
	switch req.GetRequestedTokenType() {
	case "":
		req.SetRequestedTokenType(oidc.AccessTokenType)
	case oidc.AccessTokenType:
	default:
		return oidc.ErrInvalidRequest().WithDescription("only access tokens are issued")
	}
	if req.GetExchangeActor() != client.ID {
		return oidc.ErrInvalidRequest().WithDescription("want the actor_token of the client itself")
	}
	if len(req.GetAudience()) != 1 {
		return oidc.ErrInvalidTarget().WithDescription("want one audience")
	}
	audience := req.GetAudience()[0]
	registered, ok := client.May[audience]
	if !ok {
		return oidc.ErrInvalidTarget().WithDescription("%s may not act at %s", client.ID, audience)
	}
	if over := without(req.GetScopes(), registered); len(over) > 0 {
		return oidc.ErrInvalidScope().WithDescription("%s may not have %q at %s", client.ID, over, audience)
	}
	if over := without(req.GetScopes(), words(subject["scope"])); len(over) > 0 && !client.Lax {
		return oidc.ErrInvalidScope().WithDescription("the subject token does not hold %q", over)
	}
	return nil
}

// CreateTokenExchangeRequest records the grant, and whether it steps one up.
func (s *storage) CreateTokenExchangeRequest(ctx context.Context, req op.TokenExchangeRequest) error {
	subject := req.GetExchangeSubjectTokenClaims()
	stepUp := s.past.add(grantKey{req.GetExchangeSubjectTokenIDOrToken(), req.GetClientID(), req.GetAudience()[0]},
		grant{req.GetScopes(), moment(subject["exp"])})
	noteGrant(ctx, req.GetScopes(), stepUp)
	return nil
}

// history remembers what was granted from a subject token while it is valid.
type history struct {
	mu      sync.Mutex
	granted map[grantKey]grant // guarded by mu
}

type grantKey struct{ subjectJTI, client, audience string }

type grant struct {
	scope   []string
	expires time.Time
}

// maxGrants is when ended grants are forgotten; it bounds the history by what is
// issued within one token lifetime.
const maxGrants = 4096

// add says whether the grant holds all of an earlier one, and more: a step-up.
func (h *history) add(key grantKey, g grant) (stepUp bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.granted[key]
	if len(h.granted) >= maxGrants {
		now := time.Now()
		for k, old := range h.granted {
			if old.expires.Before(now) {
				delete(h.granted, k)
			}
		}
	}
	g.scope = slices.Clone(g.scope)
	h.granted[key] = g
	return known && len(without(before.scope, g.scope)) == 0 && len(without(g.scope, before.scope)) > 0
}
