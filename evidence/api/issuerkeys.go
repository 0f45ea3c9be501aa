package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/custody-audit/custody/schemas/jwks"
)

// issuerKeys are an issuer's signing keys. The library's own set asks for every
// signature that is not good, and keeps a key for good.
type issuerKeys struct {
	*jwks.Set
	algorithms []jose.SignatureAlgorithm
}

var _ oidc.KeySet = (*issuerKeys)(nil)

// faultKey holds a place for why a signature could not be checked, which the
// library does not pass on.
type faultKey struct{}

// VerifySignature implements [oidc.KeySet].
func (k *issuerKeys) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(raw, k.algorithms)
	if err != nil {
		return nil, fmt.Errorf("parse token: %w", err)
	}
	id := signed.Signatures[0].Header.KeyID
	keys, err := k.Get(context.WithoutCancel(ctx), id) // others wait for the same fetch
	if err != nil {
		err = &unavailable{err}
		if place, ok := ctx.Value(faultKey{}).(*error); ok {
			*place = err
		}
		return nil, err
	}
	for _, key := range keys.Key(id) {
		if payload, err := signed.Verify(key.Key); err == nil && key.Use != "enc" {
			return payload, nil
		}
	}
	return nil, errors.New("the signature is not good")
}

// verify checks a token of the issuer. An error is what the caller is told.
func (o *OIDC) verify(ctx context.Context, v *oidc.IDTokenVerifier, raw string) (*oidc.IDToken, error) {
	var fault error
	t, err := v.Verify(context.WithValue(ctx, faultKey{}, &fault), raw)
	switch {
	case fault != nil:
		return nil, fault
	case err != nil:
		return nil, unauthorized("the token is refused: %s", whyRefused(err))
	}
	return t, nil
}
