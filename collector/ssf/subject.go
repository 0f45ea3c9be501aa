package ssf

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// identifier is a subject identifier: the formats of RFC 9493 section 3.2, those
// that SSF adds for tokens, and Google's for an OAuth token.
type identifier struct {
	Format      string `json:"format"`
	SubjectType string `json:"subject_type"` // format's name in drafts and at Google

	URI         string       `json:"uri"`          // account, uri
	Email       string       `json:"email"`        // email
	Issuer      string       `json:"iss"`          // iss_sub, jwt_id
	Subject     string       `json:"sub"`          // iss_sub
	ID          string       `json:"id"`           // opaque
	Phone       string       `json:"phone_number"` // phone_number
	URL         string       `json:"url"`          // did
	Identifiers []identifier `json:"identifiers"`  // aliases

	JTI         string `json:"jti"`          // jwt_id
	SAMLIssuer  string `json:"issuer"`       // saml_assertion_id
	AssertionID string `json:"assertion_id"` // saml_assertion_id

	TokenType string `json:"token_type"`           // oauth_token
	TokenAlg  string `json:"token_identifier_alg"` // oauth_token
	Token     string `json:"token"`                // oauth_token
}

// complexSubject has a member for each kind of thing that the event is about (SSF section 3).
type complexSubject struct {
	User        *identifier `json:"user"`
	Device      *identifier `json:"device"`
	Session     *identifier `json:"session"`
	Application *identifier `json:"application"`
	Tenant      *identifier `json:"tenant"`
	OrgUnit     *identifier `json:"org_unit"`
	Group       *identifier `json:"group"`
}

func (i *identifier) format() string {
	if i.Format != "" {
		return i.Format
	}
	return strings.ReplaceAll(i.SubjectType, "-", "_")
}

// party names a principal. An opaque id means something to the SET's issuer only.
func (i *identifier) party(setIssuer string) event.Party {
	switch i.format() {
	case "iss_sub", "id_token_claims":
		return event.Party{Iss: i.Issuer, Sub: i.Subject}
	case "opaque":
		return event.Party{Iss: setIssuer, Sub: i.ID}
	case "email":
		return event.Party{Sub: i.Email}
	case "phone_number", "phone":
		return event.Party{Sub: i.Phone}
	case "account", "uri":
		return event.Party{Sub: i.URI}
	case "did":
		return event.Party{Sub: i.URL}
	case "aliases":
		return aliased(i.Identifiers, setIssuer)
	}
	return event.Party{}
}

// aliased prefers the name that tokens have, which is iss and sub.
func aliased(all []identifier, setIssuer string) event.Party {
	var first event.Party
	for _, a := range all[:min(len(all), event.MaxList)] {
		if a.format() == "aliases" {
			continue // RFC 9493 section 3.2.8: not nested
		}
		p := a.party(setIssuer)
		if a.format() == "iss_sub" && p.Sub != "" {
			return p
		}
		if first.Sub == "" {
			first = p
		}
	}
	return first
}

// subject reads whom the event is about.
func (p *payload) subject(e *event.Event, raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var simple identifier
	if err := json.Unmarshal(raw, &simple); err != nil {
		return hidden(err)
	}
	if format := simple.format(); format != "complex" && format != "" {
		p.simple(e, &simple)
		return nil
	}
	var c complexSubject
	if err := json.Unmarshal(raw, &c); err != nil {
		return hidden(err)
	}
	p.complex(e, &c)
	return nil
}

// hidden names the field of a wrong type. Other errors could quote what was sent.
func hidden(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return errors.New(wrong.Field + ": want another type than " + strings.Fields(wrong.Value + " ")[0])
	}
	return errors.New("want an object")
}

func (p *payload) simple(e *event.Event, i *identifier) {
	note(e, "subject_format", i.format())
	switch i.format() {
	case "jwt_id":
		e.Token.Iss, e.Token.JTI = i.Issuer, i.JTI
	case "saml_assertion_id":
		e.Token.Iss, e.Token.JTI, e.Token.TokenType = i.SAMLIssuer, i.AssertionID, "urn:ietf:params:oauth:token-type:saml2"
	case "oauth_token":
		oauthToken(e, i)
	case "opaque":
		if e.Kind == event.Session { // as CAEP names a session by a simple subject
			e.Correlation.SessionID = i.ID
			e.Warnings = append(e.Warnings, "opaque subject taken as the session")
			return
		}
		e.Subject = i.party(p.Issuer)
	default:
		if e.Subject = i.party(p.Issuer); e.Subject.Sub == "" {
			e.Warnings = append(e.Warnings, "subject format not known or empty")
		}
	}
}

// oauthToken reads a token that Google revoked. It is told as a prefix or as a
// hash of Google's own, which joins nothing; only the token itself has a reference.
func oauthToken(e *event.Event, i *identifier) {
	e.Token.TokenType = i.TokenType
	note(e, "token_identifier_alg", i.TokenAlg)
	switch {
	case event.ValidRef(i.Token): // the collector replaced a token that it knew by its form
		e.Token.Ref = i.Token
	case i.TokenAlg == "plain" && i.Token != "":
		e.Token.Ref = event.TokenRef(i.Token)
		e.Warnings = append(e.Warnings, "sub_id.token held a token; replaced by its reference")
	}
}

func (p *payload) complex(e *event.Event, c *complexSubject) {
	note(e, "subject_format", "complex")
	if c.Session != nil {
		e.Correlation.SessionID = c.Session.party(p.Issuer).Sub
	}
	if c.User != nil {
		e.Subject = c.User.party(p.Issuer)
		switch c.User.format() {
		case "jwt_id", "saml_assertion_id":
			p.simple(e, c.User)
		}
	}
	if c.Application != nil {
		e.Client.ID = c.Application.party(p.Issuer).Sub
	}
	for _, member := range []struct {
		name string
		id   *identifier
	}{{"device", c.Device}, {"tenant", c.Tenant}, {"org_unit", c.OrgUnit}, {"group", c.Group}} {
		if member.id != nil {
			note(e, member.name, member.id.party(p.Issuer).Sub)
		}
	}
	if e.Subject.Sub == "" && c.Device != nil && c.Session == nil {
		e.Subject = c.Device.party(p.Issuer)
		e.Subject.Type = event.Unknown
		e.Warnings = append(e.Warnings, "subject is a device: the SET names no user")
	}
}
