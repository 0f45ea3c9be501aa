package sts

import (
	"crypto"
	"crypto/subtle"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/custody-audit/custody/schemas/event"
)

// Client is an OAuth client: an agent, or an MCP server that calls another one.
type Client struct {
	// ID is its client_id and the "sub" of its own tokens.
	ID string
	// Secret authenticates it (client_secret_basic).
	Secret string
	// Type of principal.
	Type event.PartyType
	// May are the audiences it may exchange tokens for, and the scopes there.
	May map[string][]string
	// Lax makes the server forget to compare the requested scope with the subject
	// token's: the mistake that lets a delegation widen.
	Lax bool
}

// User is a human with a registered key.
type User struct {
	// ID is the "sub" of the user's tokens.
	ID string
	// Key verifies the user's login assertions.
	Key crypto.PublicKey
	// Scope is what the user may ask for.
	Scope []string
}

func (c *Client) authenticates(secret string) bool {
	return subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) == 1
}

// registration shows a Client as the provider wants to see one.
type registration struct{ *Client }

var _ op.Client = registration{}

func (r registration) GetID() string                        { return r.ID }
func (r registration) RedirectURIs() []string               { return nil }
func (r registration) PostLogoutRedirectURIs() []string     { return nil }
func (r registration) ApplicationType() op.ApplicationType  { return op.ApplicationTypeWeb }
func (r registration) AuthMethod() oidc.AuthMethod          { return oidc.AuthMethodBasic }
func (r registration) ResponseTypes() []oidc.ResponseType   { return nil }
func (r registration) LoginURL(string) string               { return "" }
func (r registration) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (r registration) IDTokenLifetime() time.Duration       { return 0 }
func (r registration) DevMode() bool                        { return false }
func (r registration) IsScopeAllowed(string) bool           { return true } // decided in policy.go
func (r registration) IDTokenUserinfoClaimsAssertion() bool { return false }
func (r registration) ClockSkew() time.Duration             { return 0 }

func (r registration) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeTokenExchange, oidc.GrantTypeClientCredentials}
}

func (r registration) RestrictAdditionalIdTokenScopes() func([]string) []string { return unchanged }

func (r registration) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return unchanged
}

func unchanged(scope []string) []string { return scope }
