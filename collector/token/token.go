// Package token verifies access tokens where they arrive, and tells what an
// event may keep of them: facts and references, never the token.
//
// It serves those collectors that stand in front of or inside an MCP server. A
// [Verifier] checks a JWT (RFC 9068) by its issuer's published keys; what it
// refuses keeps the reason and whatever was signed, so that a refused token is
// evidence too.
package token

import (
	"encoding/json"
	"strings"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/custody-audit/custody/schemas/event"
)

// Presented is what is known of the credential that came with a request.
type Presented struct {
	// Token holds the facts; Token.Verified says what the check found.
	Token event.Token
	// Subject on whose behalf the request is.
	Subject event.Party
	// Chain holds the actors, current one first; ChainRaw is the "act" claim.
	Chain    []event.Link
	ChainRaw string
	// ClientID is the OAuth client that the token was issued to.
	ClientID string
	// TransactionID is the claim txn, TaskID the claim task_id.
	TransactionID, TaskID string
	// IdentityLost says that a static key names its owner and nobody behind it.
	IdentityLost bool
}

// TypeOf says what a principal is; tokens do not.
type TypeOf func(iss, sub string) event.PartyType

// Refused tells whether the check failed.
func (p *Presented) Refused() bool {
	return strings.HasPrefix(string(p.Token.Verified), string(event.TokenFailed))
}

// Describe writes into the event who acts with which credential.
func (p *Presented) Describe(e *event.Event) {
	e.Subject, e.Token, e.Chain, e.ChainRaw = p.Subject, p.Token, p.Chain, p.ChainRaw
	if len(p.Chain) > 0 {
		e.Actor, e.ChainRule = event.Party{Iss: p.Chain[0].Iss, Sub: p.Chain[0].Sub, Type: p.Chain[0].Type}, event.SubjectChained
	}
	if p.ClientID != "" {
		e.Client.ID, e.Client.Verified = p.ClientID, true
	}
	e.Correlation.TransactionID, e.Correlation.TaskID = p.TransactionID, p.TaskID
	if p.IdentityLost {
		e.Warnings = append(e.Warnings, "subject is the key's owner: identity lost at the source")
	}
}

// claims of an access token.
type claims struct {
	jwt.Claims
	Scope        string          `json:"scope"`
	Act          json.RawMessage `json:"act"`
	ClientID     string          `json:"client_id"`
	Transaction  string          `json:"txn"`
	Task         string          `json:"task_id"`
	Confirmation struct {
		Thumbprint  string `json:"jkt"`      // RFC 9449 section 6.1
		Certificate string `json:"x5t#S256"` // RFC 8705 section 3.1
	} `json:"cnf"`
}

// act is the claim of RFC 8693 section 4.1.
type act struct {
	Iss string `json:"iss"`
	Sub string `json:"sub"`
	Act *act   `json:"act"`
}

// present reads the claims; ok is false when "act" is not what it should be.
func (c *claims) present(raw string, typeOf TypeOf) (p *Presented, ok bool) {
	p = &Presented{
		Subject:  event.Party{Iss: c.Issuer, Sub: c.Subject},
		ClientID: c.ClientID, TransactionID: c.Transaction, TaskID: c.Task,
		Token: event.Token{
			Ref: event.TokenRef(raw), JTI: c.ID, Iss: c.Issuer, Audience: c.Audience, Scope: strings.Fields(c.Scope),
			IssuedAt: numeric(c.IssuedAt), NotBefore: numeric(c.NotBefore), ExpiresAt: numeric(c.Expiry),
			TokenType: "Bearer", Confirmation: c.confirmation(), Verified: event.TokenVerified,
		},
	}
	if c.Subject != "" {
		p.Subject.Type = typeOf(c.Issuer, c.Subject)
	}
	if len(c.Act) == 0 {
		return p, true
	}
	var outer act
	if json.Unmarshal(c.Act, &outer) != nil {
		return p, false
	}
	p.ChainRaw = string(c.Act)
	for a := &outer; a != nil && len(p.Chain) < event.MaxChain; a = a.Act {
		p.Chain = append(p.Chain, event.Link{Iss: a.Iss, Sub: a.Sub, Type: typeOf(a.Iss, a.Sub)})
	}
	return p, true
}

func (c *claims) confirmation() string {
	switch {
	case c.Confirmation.Thumbprint != "":
		return "jkt:" + c.Confirmation.Thumbprint
	case c.Confirmation.Certificate != "":
		return "x5t#S256:" + c.Confirmation.Certificate
	}
	return ""
}

func numeric(d *jwt.NumericDate) event.Time {
	if d == nil {
		return 0
	}
	return event.TimeOf(d.Time())
}
