package ssf

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// fact is what an event type states.
type fact struct {
	kind event.Kind
	name string
	fill func(*event.Event, *claims) // nil: the subject says it all
}

const (
	caep  = "https://schemas.openid.net/secevent/caep/event-type/"
	risc  = "https://schemas.openid.net/secevent/risc/event-type/"
	oauth = "https://schemas.openid.net/secevent/oauth/event-type/"
)

// facts by event type URI. Others are acknowledged and not kept: verification and
// stream-updated are about the stream, opt-in and opt-out about RISC itself.
var facts = map[string]fact{
	caep + "session-revoked":          {event.Session, event.TypeSessionRevoked, nil},
	caep + "session-established":      {event.Session, event.TypeSessionStarted, authenticated},
	caep + "session-presented":        {event.Session, "caep.session-presented", authenticated},
	caep + "token-claims-change":      {event.Credential, "caep.token-claims-change", tokenClaims},
	caep + "credential-change":        {event.Credential, "caep.credential-change", credentialChange},
	caep + "assurance-level-change":   {event.Session, "caep.assurance-level-change", level},
	caep + "device-compliance-change": {event.Session, "caep.device-compliance-change", compliance},
	caep + "risk-level-change":        {event.Session, "caep.risk-level-change", level},

	risc + "sessions-revoked":                   {event.Session, event.TypeSessionRevoked, nil},
	risc + "account-disabled":                   {event.Grant, event.TypeGrantRemoved, nil},
	risc + "account-purged":                     {event.Grant, event.TypeGrantRemoved, nil},
	risc + "account-enabled":                    {event.Grant, event.TypeGrantChanged, nil},
	risc + "identifier-changed":                 {event.Grant, "risc.identifier-changed", nil},
	risc + "identifier-recycled":                {event.Grant, "risc.identifier-recycled", nil},
	risc + "credential-compromise":              {event.Credential, "risc.credential-compromise", credentialFacts},
	risc + "account-credential-change-required": {event.Credential, "risc.account-credential-change-required", nil},
	risc + "recovery-activated":                 {event.Credential, "risc.recovery-activated", nil},
	risc + "recovery-information-changed":       {event.Credential, "risc.recovery-information-changed", nil},

	oauth + "token-revoked":  {event.Credential, event.TypeCredentialRevoked, nil},
	oauth + "tokens-revoked": {event.Credential, event.TypeCredentialRevoked, nil},
}

// credentialTypes say what a change_type is (CAEP section 3.3.1).
var credentialTypes = map[string]string{
	"create": event.TypeCredentialIssued, "update": event.TypeCredentialRotated,
	"revoke": event.TypeCredentialRevoked, "delete": event.TypeCredentialRevoked,
}

func credentialChange(e *event.Event, c *claims) {
	if name, ok := credentialTypes[c.ChangeType]; ok {
		e.Type = name
	} else {
		e.Warnings = append(e.Warnings, "change_type is none of create, update, revoke, delete")
	}
	note(e, "change_type", c.ChangeType)
	credentialFacts(e, c)
}

func credentialFacts(e *event.Event, c *claims) {
	e.Token.TokenType = c.CredentialType
	note(e, "friendly_name", c.FriendlyName)
	note(e, "x509_issuer", c.X509Issuer)
	note(e, "x509_serial", c.X509Serial)
	note(e, "fido2_aaguid", c.AAGUID)
}

// tokenClaims keeps which claims changed. Their values stay out, but for the
// scope, which is what the token may do now.
func tokenClaims(e *event.Event, c *claims) {
	note(e, "claims", strings.Join(slices.Sorted(maps.Keys(c.Claims)), " "))
	var scope string
	if json.Unmarshal(c.Claims["scope"], &scope) == nil {
		e.Token.Scope = strings.Fields(scope)
	}
}

func level(e *event.Event, c *claims) {
	note(e, "namespace", c.Namespace)
	note(e, "current_level", c.CurrentLevel)
	note(e, "previous_level", c.PreviousLevel)
	note(e, "change_direction", c.Direction)
	note(e, "principal", c.Principal)
	note(e, "risk_reason", c.RiskReason)
}

func compliance(e *event.Event, c *claims) {
	note(e, "current_status", c.CurrentStatus)
	note(e, "previous_status", c.PreviousStatus)
}

func authenticated(e *event.Event, c *claims) {
	note(e, "acr", c.ACR)
	note(e, "amr", strings.Join(c.AMR, " "))
	note(e, "ext_id", c.ExternalID)
	if e.Correlation.SessionID == "" && c.ExternalID != "" {
		e.Correlation.SessionID = c.ExternalID
		e.Warnings = append(e.Warnings, "ext_id taken as the session")
	}
}
