package token

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/jwks"
)

// Config configures a Verifier.
type Config struct {
	// Issuer of the tokens, and JWKSURL where its keys are. Required.
	Issuer, JWKSURL string
	// Audience that tokens must have: the resource identifier of the server (RFC
	// 8707). Required, unless AnyAudience is set.
	Audience string
	// AnyAudience accepts tokens that were issued for others. Their audience is
	// recorded, so what comes of it is still seen.
	AnyAudience bool
	// Algorithms of signatures; nil is RS256, PS256, ES256, ES384 and EdDSA.
	Algorithms []jose.SignatureAlgorithm
	// Leeway for the clocks' difference; 0 is 1 s.
	Leeway time.Duration
	// TypeOf says what principals are; nil leaves it open.
	TypeOf TypeOf
	// HTTP fetches the issuer's keys; nil is a client with a timeout of 10 s.
	HTTP *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Verifier checks the tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	keys   jwks.Set
	signed signed
}

// NewVerifier returns a Verifier; keys are fetched when they are needed.
func NewVerifier(cfg Config) (*Verifier, error) {
	if cfg.Issuer == "" || cfg.JWKSURL == "" {
		return nil, errors.New("token verifier: want an Issuer and a JWKSURL")
	}
	if cfg.Audience == "" && !cfg.AnyAudience {
		return nil, errors.New("token verifier: want an Audience, or AnyAudience")
	}
	if cfg.Algorithms == nil {
		cfg.Algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}
	}
	if cfg.Leeway == 0 {
		cfg.Leeway = time.Second
	}
	if cfg.TypeOf == nil {
		cfg.TypeOf = func(string, string) event.PartyType { return "" }
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Verifier{cfg: cfg, keys: jwks.Set{URL: cfg.JWKSURL, HTTP: cfg.HTTP, Now: cfg.Now}}, nil
}

// Verify checks form, signature, issuer, time, audience and the form of "act", in
// this order. What it found is Token.Verified: "verified", or "failed:" and the
// first of malformed, signature, issuer, expired, time, audience, act that does
// not hold. Claims whose signature is not good are not told. An error says that
// the token could not be checked.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Presented, error) {
	c, reason, err := v.check(ctx, raw)
	if err != nil {
		return nil, err
	}
	p, ok := c.present(raw, v.cfg.TypeOf)
	if reason == "" && !ok {
		reason = "act"
	}
	if reason != "" {
		p.Token.Verified = event.TokenFailed + event.Verified(reason)
	}
	return p, nil
}

func (v *Verifier) check(ctx context.Context, raw string) (c claims, reason string, err error) {
	if c, reason, err = v.open(ctx, raw); err != nil || reason != "" {
		return claims{}, reason, err
	}
	switch err := c.ValidateWithLeeway(jwt.Expected{Issuer: v.cfg.Issuer, Time: v.cfg.Now()}, v.cfg.Leeway); {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		reason = "issuer"
	case errors.Is(err, jwt.ErrExpired) || c.Expiry == nil:
		reason = "expired"
	case err != nil:
		reason = "time"
	case !v.cfg.AnyAudience && !slices.Contains(c.Audience, v.cfg.Audience):
		reason = "audience"
	}
	return c, reason, nil
}

// open returns the claims whose signature is good.
func (v *Verifier) open(ctx context.Context, raw string) (c claims, reason string, err error) {
	ref := event.TokenRef(raw)
	if s, ok := v.signed.get(ref); ok {
		known, err := v.keys.Get(ctx, s.keyID)
		if err != nil || known == s.keys {
			return s.claims, "", err
		}
	}
	parsed, err := jwt.ParseSigned(raw, v.cfg.Algorithms)
	if err != nil {
		return claims{}, "malformed", nil
	}
	known, err := v.keys.Get(ctx, parsed.Headers[0].KeyID)
	if err != nil {
		return claims{}, "", err
	}
	if parsed.Claims(known, &c) != nil {
		return claims{}, "signature", nil
	}
	v.signed.add(ref, signature{parsed.Headers[0].KeyID, known, c})
	return c, "", nil
}
