package sts

import (
	"context"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// unsupported answers for the parts of an OpenID provider that the estate has no
// use for: browser logins, refresh tokens, user info, introspection.
type unsupported struct{}

func (unsupported) CreateAuthRequest(context.Context, *oidc.AuthRequest, string) (op.AuthRequest, error) {
	return nil, unsupportedGrant("authorization request")
}

func (unsupported) AuthRequestByID(context.Context, string) (op.AuthRequest, error) {
	return nil, unsupportedGrant("authorization request")
}

func (unsupported) AuthRequestByCode(context.Context, string) (op.AuthRequest, error) {
	return nil, unsupportedGrant("authorization code")
}

func (unsupported) SaveAuthCode(context.Context, string, string) error {
	return unsupportedGrant("authorization code")
}

func (unsupported) DeleteAuthRequest(context.Context, string) error {
	return unsupportedGrant("authorization request")
}

func (unsupported) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, unsupportedGrant("refresh token")
}

func (unsupported) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, unsupportedGrant("refresh token")
}

func (unsupported) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

func (unsupported) TerminateSession(context.Context, string, string) error {
	return unsupportedGrant("end session")
}

func (unsupported) RevokeToken(context.Context, string, string, string) *oidc.Error {
	return oidc.ErrUnsupportedGrantType().WithDescription("revocation")
}

func (unsupported) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil // deprecated by the provider, which wants it empty
}

func (unsupported) SetUserinfoFromToken(context.Context, *oidc.UserInfo, string, string, string) error {
	return unsupportedGrant("user info")
}

func (unsupported) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return unsupportedGrant("introspection")
}

func (unsupported) SetUserinfoFromTokenExchangeRequest(context.Context, *oidc.UserInfo, op.TokenExchangeRequest) error {
	return unsupportedGrant("id token by exchange")
}

func (unsupported) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil // GetPrivateClaimsFromRequest is asked instead
}
