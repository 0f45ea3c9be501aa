package keycloak

import (
	"cmp"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// fact is what an event type of Keycloak states.
type fact struct {
	kind event.Kind
	name string
	fill func(*record, *event.Event) // nil: subject and client say it all
}

// facts by event type, without the ending _ERROR. Others are ignored.
var facts = map[string]fact{
	"TOKEN_EXCHANGE": {event.TokenExchange, event.TypeTokenExchange, (*record).exchange},

	"LOGIN":       {event.Session, event.TypeSessionStarted, (*record).session},
	"LOGOUT":      {event.Session, event.TypeSessionEnded, (*record).session},
	"IMPERSONATE": {event.Session, event.TypeSessionStarted, (*record).session},

	"CODE_TO_TOKEN":               {event.Credential, event.TypeCredentialIssued, (*record).token},
	"OAUTH2_DEVICE_CODE_TO_TOKEN": {event.Credential, event.TypeCredentialIssued, (*record).token},
	"AUTHREQID_TO_TOKEN":          {event.Credential, event.TypeCredentialIssued, (*record).token},
	"CLIENT_LOGIN":                {event.Credential, event.TypeCredentialIssued, (*record).token},
	"JWT_BEARER":                  {event.Credential, event.TypeCredentialIssued, (*record).token},
	"OAUTH2_EXTENSION_GRANT":      {event.Credential, event.TypeCredentialIssued, (*record).token},
	"REFRESH_TOKEN":               {event.Credential, event.TypeCredentialRotated, (*record).token},
	"INTROSPECT_TOKEN":            {event.Credential, "keycloak.introspect_token", (*record).token},

	"UPDATE_CREDENTIAL": {event.Credential, event.TypeCredentialRotated, (*record).secret},
	"UPDATE_PASSWORD":   {event.Credential, event.TypeCredentialRotated, (*record).secret},
	"UPDATE_TOTP":       {event.Credential, event.TypeCredentialRotated, (*record).secret},
	"RESET_PASSWORD":    {event.Credential, event.TypeCredentialRotated, (*record).secret},
	"REMOVE_CREDENTIAL": {event.Credential, event.TypeCredentialRevoked, (*record).secret},
	"REMOVE_TOTP":       {event.Credential, event.TypeCredentialRevoked, (*record).secret},

	"PERMISSION_TOKEN": {event.PermissionDecision, "keycloak.permission_token", (*record).permission},

	"REVOKE_GRANT":   {event.Grant, event.TypeGrantRemoved, (*record).revocation},
	"GRANT_CONSENT":  {event.Grant, event.TypeGrantChanged, (*record).consent},
	"UPDATE_CONSENT": {event.Grant, event.TypeGrantChanged, (*record).consent},

	"CLIENT_REGISTER":                    {event.Grant, event.TypeGrantChanged, nil},
	"CLIENT_UPDATE":                      {event.Grant, event.TypeGrantChanged, nil},
	"CLIENT_DELETE":                      {event.Grant, event.TypeGrantRemoved, nil},
	"REGISTER":                           {event.Grant, event.TypeGrantChanged, nil},
	"DELETE_ACCOUNT":                     {event.Grant, event.TypeGrantRemoved, nil},
	"USER_DISABLED_BY_PERMANENT_LOCKOUT": {event.Grant, "keycloak.user_disabled", nil},
	"USER_DISABLED_BY_TEMPORARY_LOCKOUT": {event.Grant, "keycloak.user_disabled", nil},
	"FEDERATED_IDENTITY_LINK":            {event.Grant, event.TypeGrantChanged, nil},
	"FEDERATED_IDENTITY_OVERRIDE_LINK":   {event.Grant, event.TypeGrantChanged, nil},
	"REMOVE_FEDERATED_IDENTITY":          {event.Grant, event.TypeGrantRemoved, nil},
}

// kept are the details that become attributes of any event.
var kept = []string{
	"reason", "auth_method", "auth_type", "client_auth_method", "grant_type", "identity_provider", "consent",
	"refresh_token_id", "updated_refresh_token_id", "refresh_token_type", "requested_issuer", "requested_subject",
	"subject_token_client_id", "actor_session_id", "client_assertion_id", "client_assertion_sub", "client_assertion_issuer",
	"impersonator_realm", "credential_type", "selected_credential_id", "token_exchange_revoked_clients",
}

const errorSuffix = "_ERROR"

// name is the event type without its ending.
func (r *record) name() string { return strings.TrimSuffix(r.Type, errorSuffix) }

func (r *record) failed() bool { return strings.HasSuffix(r.Type, errorSuffix) }

func (r *record) userEvent() *event.Event {
	f, ok := facts[r.name()]
	if !ok {
		return nil
	}
	e := r.base(f.kind, f.name)
	e.Subject = r.user()
	e.Client.ID = r.ClientID
	e.Correlation.SessionID = r.SessionID
	r.note(e, "event_type", r.Type)
	for _, name := range kept {
		r.note(e, name, r.Details.text(name))
	}
	if f.fill != nil {
		f.fill(r, e)
	}
	if e.Kind == event.Grant && e.Subject.Sub == "" && e.Client.ID == "" {
		return nil // nobody is named, so nothing is said about anybody
	}
	return e
}

// serviceAccount begins the user name that Keycloak gives the account of a client.
const serviceAccount = "service-account-"

// user is the user of the event. Keycloak does not tell humans from robots, but
// it names the accounts that it made for clients.
func (r *record) user() event.Party {
	p := event.Party{Sub: r.UserID, Name: r.Details.text("username")}
	if strings.HasPrefix(p.Name, serviceAccount) {
		p.Type = event.Service
	}
	return p
}

func (r *record) session(e *event.Event) {
	if e.Correlation.SessionID == "" {
		// The login's own id, which becomes that of the session.
		e.Correlation.SessionID = r.Details.text("code_id")
	}
	if e.Correlation.SessionID == "" {
		e.Warnings = append(e.Warnings, "no session id: Keycloak did not log one")
	}
	r.impersonator(e)
}

// impersonator reads who acts as the user. It has a name and no id.
func (r *record) impersonator(e *event.Event) bool {
	by := r.Details.text("impersonator")
	if by == "" {
		return false
	}
	e.Actor = event.Party{Name: by}
	e.Warnings = append(e.Warnings, "actor is the impersonator's user name: Keycloak does not log its id")
	return true
}

// token reads what was issued, rotated or looked at.
func (r *record) token(e *event.Event) {
	e.Token = event.Token{JTI: r.Details.text("token_id"), Scope: r.Details.list("scope"), Audience: r.Details.list("audience")}
	// Only confidential clients log in for themselves, so this one was authenticated.
	e.Client.Verified = r.name() == "CLIENT_LOGIN" && e.Outcome == event.Success
	r.tokenRef(e)
}

func (r *record) tokenRef(e *event.Event) {
	if e.Token.Ref = r.Details.reference(e, "token"); e.Token.Ref == "" {
		e.Warnings = append(e.Warnings, "no token reference: Keycloak logs the token's jti only")
	}
}

// secret reads the change of a credential that is no token.
func (r *record) secret(e *event.Event) {
	switch r.name() {
	case "UPDATE_PASSWORD", "RESET_PASSWORD":
		e.Token.TokenType = "password"
	case "UPDATE_TOTP", "REMOVE_TOTP":
		e.Token.TokenType = "otp"
	default:
		e.Token.TokenType = r.Details.text("credential_type")
	}
	e.Warnings = append(e.Warnings, "no reference of the credential: Keycloak does not log one")
}

// permission reads an answer of Authorization Services to a UMA grant. An error
// that is no refusal is no decision.
func (r *record) permission(e *event.Event) {
	e.Decision = event.Decision{
		Engine: Type, Policy: r.ClientID, Action: r.Details.text("scope"),
		Resource: r.Details.first("permission", "audience"), Reason: cmp.Or(r.Details.text("reason"), r.Error),
	}
	e.Token.Audience = r.Details.list("audience")
	switch e.Outcome {
	case event.Success:
		e.Decision.Effect = event.Allow
	case event.Denied:
		e.Decision.Effect = event.Deny
	default:
		e.Decision.Effect, e.Outcome = event.EffectError, event.Error
	}
}

// revocation is a consent withdrawn (revoked_client alone), a refresh token
// revoked (revoked_client and refresh_token_id) or an access token revoked (token_id).
func (r *record) revocation(e *event.Event) {
	if client := r.Details.text("revoked_client"); client != "" {
		e.Client.ID = client
	}
	refresh := r.Details.text("refresh_token_id")
	if e.Token.JTI = r.Details.first("token_id", "refresh_token_id"); e.Token.JTI == "" {
		return
	}
	e.Kind, e.Type = event.Credential, event.TypeCredentialRevoked
	if refresh != "" {
		e.Token.TokenType = refreshTokenType
	}
	r.tokenRef(e)
}

func (r *record) consent(e *event.Event) {
	if client := r.Details.text("granted_client"); client != "" {
		e.Client.ID = client
	}
	e.Token.Scope = r.Details.list("scope")
}
