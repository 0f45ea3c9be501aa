package sts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Lifetimes of tokens.
const (
	loginLifetime    = time.Hour
	clientLifetime   = time.Hour
	exchangeLifetime = 5 * time.Minute
)

// storage is what the provider asks for clients, keys, policy and claims.
type storage struct {
	unsupported
	directory
	key  *signingKey
	past history
}

var (
	_ op.Storage                        = (*storage)(nil)
	_ op.ClientCredentialsStorage       = (*storage)(nil)
	_ op.TokenExchangeStorage           = (*storage)(nil)
	_ op.JWTProfileTokenStorage         = (*storage)(nil)
	_ op.CanGetPrivateClaimsFromRequest = (*storage)(nil)
)

func newStorage(cfg Config) (*storage, error) {
	key, err := newSigningKey()
	if err != nil {
		return nil, err
	}
	return &storage{directory: newDirectory(cfg), key: key, past: history{granted: map[grantKey]grant{}}}, nil
}

// scopes lists every scope that somebody may have.
func (s *storage) scopes() []string {
	var all []string
	for _, u := range s.users {
		all = append(all, u.Scope...)
	}
	for _, c := range s.clients {
		for _, scope := range c.May {
			all = append(all, scope...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var errUnknown = errors.New("unknown client, user or key")

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	c, ok := s.clients[id]
	if !ok {
		return nil, errUnknown
	}
	return registration{c}, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if c, ok := s.clients[id]; !ok || !c.authenticates(secret) {
		return errUnknown
	}
	return nil
}

func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return s.GetClientByClientID(ctx, id)
}

// ClientCredentialsTokenRequest gives a client the token that names it as an
// actor; it is addressed to this server and carries no scope.
func (s *storage) ClientCredentialsTokenRequest(_ context.Context, id string, scope []string) (op.TokenRequest, error) {
	if len(scope) > 0 {
		return nil, oidc.ErrInvalidScope().WithDescription("a client's own token carries no scope")
	}
	return ownToken{id, s.issuer}, nil
}

type ownToken struct{ client, issuer string }

func (t ownToken) GetSubject() string    { return t.client }
func (t ownToken) GetAudience() []string { return []string{t.issuer} }
func (t ownToken) GetScopes() []string   { return nil }

// GetKeyByIDAndClientID returns the key of a user who logs in.
func (s *storage) GetKeyByIDAndClientID(_ context.Context, _, id string) (*jose.JSONWebKey, error) {
	u, ok := s.users[id]
	if !ok {
		return nil, errUnknown
	}
	return &jose.JSONWebKey{Key: u.Key, Algorithm: string(algorithm), Use: "sig"}, nil
}

func (s *storage) ValidateJWTProfileScopes(_ context.Context, user string, scope []string) ([]string, error) {
	u, ok := s.users[user]
	if !ok {
		return nil, errUnknown
	}
	if over := without(scope, u.Scope); len(over) > 0 {
		return nil, oidc.ErrInvalidScope().WithDescription("%s may not have %q", user, over)
	}
	return scope, nil
}

func (s *storage) JWTProfileTokenType(context.Context, op.TokenRequest) (op.AccessTokenType, error) {
	return op.AccessTokenTypeJWT, nil
}

// CreateAccessToken gives a token its jti and its end.
func (s *storage) CreateAccessToken(ctx context.Context, req op.TokenRequest) (string, time.Time, error) {
	lifetime := clientLifetime
	switch req := req.(type) {
	case *oidc.JWTTokenRequest:
		lifetime = loginLifetime
	case op.TokenExchangeRequest:
		// A delegation never outlives what it was derived from.
		lifetime = min(exchangeLifetime, time.Until(moment(req.GetExchangeSubjectTokenClaims()["exp"])))
	}
	return rand.Text(), time.Now().UTC().Add(lifetime), nil
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{algorithm}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey{s.key}}, nil }

func (s *storage) Health(context.Context) error { return nil }

// without returns the members of all that are not in known.
func without(all, known []string) []string {
	var out []string
	for _, s := range all {
		if !slices.Contains(known, s) {
			out = append(out, s)
		}
	}
	return out
}

func unsupportedGrant(what string) error {
	return fmt.Errorf("%s: %w", what, oidc.ErrUnsupportedGrantType())
}
