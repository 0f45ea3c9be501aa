package toolserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/custody-audit/custody/schemas/event"
)

// presented is what is known of the credential that came with a request.
type presented struct {
	token         event.Token
	subject       event.Party
	chain         []event.Link // actors, current one first
	chainRaw      string
	client        string
	transactionID string
	taskID        string
	identityLost  bool // a key names its owner and nobody behind
}

// extraKey holds the presented credential in the SDK's TokenInfo.
const extraKey = "presented"

// claims of an access token.
type claims struct {
	jwt.Claims
	Scope       string          `json:"scope"`
	Act         json.RawMessage `json:"act"`
	ClientID    string          `json:"client_id"`
	Transaction string          `json:"txn"`
	Task        string          `json:"task_id"`
}

// act is the claim of RFC 8693 section 4.1.
type act struct {
	Iss string `json:"iss"`
	Sub string `json:"sub"`
	Act *act   `json:"act"`
}

// verifyToken checks signature, issuer, time and audience. A token that is
// refused is reported with the reason: nobody else sees it.
func (s *Server) verifyToken() auth.TokenVerifier {
	keys := &keySet{url: s.cfg.JWKSURL, http: s.cfg.HTTP}
	return func(ctx context.Context, token string, req *http.Request) (*auth.TokenInfo, error) {
		c, reason, err := s.check(ctx, keys, token)
		if err != nil {
			return nil, err
		}
		p, ok := s.present(token, c)
		if reason == "" && !ok {
			reason = "act"
		}
		if reason == "" {
			return &auth.TokenInfo{Scopes: p.token.Scope, Expiration: c.Expiry.Time(), UserID: c.Subject, Extra: map[string]any{extraKey: p}}, nil
		}
		p.token.Verified = event.TokenFailed + event.Verified(reason)
		if err := s.refuse(ctx, req, p); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s", auth.ErrInvalidToken, reason)
	}
}

// check returns the claims and why they do not hold; claims whose signature is
// not good are not returned. An error says that it could not be checked.
func (s *Server) check(ctx context.Context, keys *keySet, token string) (c claims, reason string, err error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return claims{}, "malformed", nil
	}
	known, err := keys.get(ctx, parsed.Headers[0].KeyID)
	if err != nil {
		return claims{}, "", err
	}
	if parsed.Claims(known, &c) != nil {
		return claims{}, "signature", nil
	}
	switch err := c.ValidateWithLeeway(jwt.Expected{Issuer: s.cfg.Issuer, Time: time.Now()}, time.Second); {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		reason = "issuer"
	case errors.Is(err, jwt.ErrExpired) || c.Expiry == nil:
		reason = "expired"
	case err != nil:
		reason = "time"
	case !s.cfg.AcceptForeignAudience && !slices.Contains(c.Audience, s.cfg.Server.URI):
		reason = "audience"
	}
	return c, reason, nil
}

// present reads the claims; ok is false when "act" is not what it should be.
func (s *Server) present(token string, c claims) (p *presented, ok bool) {
	p = &presented{
		subject: event.Party{Iss: c.Issuer, Sub: c.Subject},
		client:  c.ClientID, transactionID: c.Transaction, taskID: c.Task,
		token: event.Token{
			Ref: event.TokenRef(token), JTI: c.ID, Iss: c.Issuer, Audience: c.Audience, Scope: strings.Fields(c.Scope),
			IssuedAt: numeric(c.IssuedAt), NotBefore: numeric(c.NotBefore), ExpiresAt: numeric(c.Expiry),
			TokenType: "Bearer", Verified: event.TokenVerified,
		},
	}
	if c.Subject != "" {
		p.subject.Type = s.cfg.TypeOf(c.Subject)
	}
	if len(c.Act) == 0 {
		return p, true
	}
	var outer act
	if json.Unmarshal(c.Act, &outer) != nil {
		return p, false
	}
	p.chainRaw = string(c.Act)
	for a := &outer; a != nil && len(p.chain) < event.MaxChain; a = a.Act {
		p.chain = append(p.chain, event.Link{Iss: a.Iss, Sub: a.Sub, Type: s.cfg.TypeOf(a.Sub)})
	}
	return p, true
}

func numeric(d *jwt.NumericDate) event.Time {
	if d == nil {
		return 0
	}
	return event.TimeOf(d.Time())
}
