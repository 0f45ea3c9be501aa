package sts

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/custody-audit/custody/schemas/event"
)

// Claims that travel from the login through every exchange.
const (
	claimTransaction = "txn"     // RFC 8417 section 2.2, draft-ietf-oauth-transaction-tokens
	claimTask        = "task_id" // the task the human started
)

// GetPrivateClaimsFromRequest gives the claims of a login or of a client's own token.
func (s *storage) GetPrivateClaimsFromRequest(ctx context.Context, req op.TokenRequest, _ []string) (map[string]any, error) {
	claims := map[string]any{}
	if scope := req.GetScopes(); len(scope) > 0 {
		claims["scope"] = strings.Join(scope, " ")
	}
	if login, ok := req.(*oidc.JWTTokenRequest); ok {
		for _, name := range []string{claimTransaction, claimTask} {
			if v, ok := login.GetCustomClaim(name).(string); ok && v != "" {
				claims[name] = v
			}
		}
	}
	noteIssue(ctx, &s.directory, req, claims)
	return claims, nil
}

// GetPrivateClaimsFromTokenExchangeRequest nests the subject token's "act" below
// the new actor, as RFC 8693 section 4.1 shows it.
func (s *storage) GetPrivateClaimsFromTokenExchangeRequest(_ context.Context, req op.TokenExchangeRequest) (map[string]any, error) {
	subject := req.GetExchangeSubjectTokenClaims()
	claims := map[string]any{
		"scope": strings.Join(req.GetScopes(), " "),
		"act":   nest(s.issuer, req.GetExchangeActor(), subject["act"]),
	}
	for _, name := range []string{claimTransaction, claimTask} {
		if v, ok := subject[name]; ok {
			claims[name] = v
		}
	}
	return claims, nil
}

func nest(issuer, actor string, below any) map[string]any {
	act := map[string]any{"iss": issuer, "sub": actor}
	if below != nil {
		act["act"] = below
	}
	return act
}

// links reads an "act" claim, current actor first.
func (d *directory) links(act any) []event.Link {
	var out []event.Link
	for {
		o, ok := act.(map[string]any)
		if !ok {
			return out
		}
		sub, iss := text(o["sub"]), text(o["iss"])
		out = append(out, event.Link{Iss: iss, Sub: sub, Type: d.typeOf(sub)})
		act = o["act"]
	}
}

// tokenFacts describes a token of this server by its claims.
func tokenFacts(ref string, claims map[string]any) event.Token {
	return event.Token{
		Ref: ref, JTI: text(claims["jti"]), Iss: text(claims["iss"]),
		Audience: words(claims["aud"]), Scope: words(claims["scope"]),
		IssuedAt: event.TimeOf(moment(claims["iat"])), NotBefore: event.TimeOf(moment(claims["nbf"])), ExpiresAt: event.TimeOf(moment(claims["exp"])),
		TokenType: oidc.BearerToken, Verified: event.TokenVerified,
	}
}

func text(v any) string { s, _ := v.(string); return s }

// words reads a list of strings, or a text that is split at spaces.
func words(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, text(x))
		}
		return out
	}
	return nil
}

// moment reads a NumericDate.
func moment(v any) time.Time {
	switch v := v.(type) {
	case float64:
		return time.Unix(int64(v), 0).UTC()
	case json.Number:
		n, _ := v.Int64()
		return time.Unix(n, 0).UTC()
	}
	return time.Time{}
}
