package keycloak

import (
	"encoding/json"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// entitlements are the resource types whose change changes what somebody may do.
var entitlements = map[string]bool{
	"REALM_ROLE": true, "REALM_ROLE_MAPPING": true, "REALM_SCOPE_MAPPING": true,
	"CLIENT_ROLE": true, "CLIENT_ROLE_MAPPING": true,
	"CLIENT_SCOPE": true, "CLIENT_SCOPE_MAPPING": true, "CLIENT_SCOPE_CLIENT_MAPPING": true,
	"GROUP": true, "GROUP_MEMBERSHIP": true, "USER": true, "CLIENT": true, "PROTOCOL_MAPPER": true,
	"AUTHORIZATION_RESOURCE_SERVER": true, "AUTHORIZATION_RESOURCE": true, "AUTHORIZATION_SCOPE": true, "AUTHORIZATION_POLICY": true,
	"USER_SESSION": true,
}

func (r *record) adminEvent() *event.Event {
	if !entitlements[r.ResourceType] {
		return nil
	}
	path := strings.Split(strings.Trim(r.ResourcePath, "/"), "/")
	kind, name := r.changed(path)
	e := r.base(kind, name)
	e.Actor = event.Party{Sub: r.AuthDetails.UserID}
	e.ClientAddress = r.AuthDetails.IPAddress
	r.note(e, "operation_type", r.OperationType)
	r.note(e, "resource_type", r.ResourceType)
	r.note(e, "admin_client_uuid", r.AuthDetails.ClientID)
	r.note(e, "admin_realm_id", r.AuthDetails.RealmID)
	if kind == event.Grant && r.ResourcePath != "" {
		e.Attributes["grant.id"] = r.ResourcePath
	}
	r.target(e, path)
	r.represented(e)
	r.missing(e)
	if e.Subject.Sub == "" && e.Client.ID == "" && e.Correlation.SessionID == "" {
		return nil // nobody is named
	}
	return e
}

// changed tells what an operation on a path means. Most are changes of an
// entitlement; credentials and sessions are told by the path's end.
func (r *record) changed(path []string) (event.Kind, string) {
	third := ""
	if len(path) > 2 {
		third = path[2]
	}
	switch {
	case r.ResourceType == "USER_SESSION", path[0] == "users" && third == "logout":
		return event.Session, event.TypeSessionRevoked
	case path[0] == "users" && third == "credentials" && r.OperationType != "UPDATE", third == "disable-credential-types":
		return event.Credential, event.TypeCredentialRevoked
	case path[0] == "users" && third == "reset-password", path[0] == "clients" && third == "client-secret" && len(path) == 3,
		path[0] == "clients" && third == "certificates":
		return event.Credential, event.TypeCredentialRotated
	case path[0] == "clients" && third == "client-secret": // .../client-secret/rotated
		return event.Credential, event.TypeCredentialRevoked
	case r.OperationType == "DELETE", path[0] == "users" && third == "consents":
		return event.Grant, event.TypeGrantRemoved
	}
	return event.Grant, event.TypeGrantChanged
}

// target names whose entitlement, credential or session it is, by its internal id.
func (r *record) target(e *event.Event, path []string) {
	if len(path) < 2 {
		return
	}
	id := path[1]
	switch path[0] {
	case "users":
		e.Subject.Sub = id
	case "clients":
		e.Subject = event.Party{Sub: id, Type: event.Service}
	case "sessions":
		e.Correlation.SessionID = id
		return
	case "groups", "client-scopes", "roles", "roles-by-id":
		e.Subject.Sub = id
	default:
		return
	}
	r.note(e, "subject_kind", path[0])
	if path[0] == "users" && len(path) > 3 {
		switch path[2] {
		case "consents":
			e.Client.ID = path[3]
		case "groups":
			r.note(e, "group_id", path[3])
		}
	}
	if len(path) > 3 && strings.HasSuffix(path[2], "-client-scopes") {
		r.note(e, "client_scope_id", path[3])
	}
}

// represented reads names from the representation, which is JSON in a text: the
// roles of a mapping, or the name of what was made. The rest, a client's secret
// among it, is not looked at.
func (r *record) represented(e *event.Event) {
	raw := []byte(r.Representation)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = []byte(text)
	}
	var roles []representation
	var one representation
	switch {
	case json.Unmarshal(raw, &roles) == nil:
		for _, role := range roles {
			if role.Name != "" {
				e.Token.Scope = append(e.Token.Scope, role.Name) // Fit cuts what is too much
			}
		}
	case json.Unmarshal(raw, &one) == nil:
		r.made(e, &one)
	}
}

// made reads the one thing that was made or changed.
func (r *record) made(e *event.Event, one *representation) {
	switch r.ResourceType {
	case "CLIENT":
		if e.Kind == event.Grant {
			e.Client.ID, e.Subject.Name = one.ClientID, one.ClientID
			e.Token.Scope = append(one.DefaultScopes, one.OptionalScopes...)
		}
	case "USER":
		e.Subject.Name = one.Username
	default:
		r.note(e, "resource_name", one.Name)
	}
	if one.Enabled != nil && !*one.Enabled {
		r.note(e, "enabled", "false")
	}
}

// representation has the names of RoleRepresentation, ClientRepresentation and UserRepresentation.
type representation struct {
	Name           string   `json:"name"`
	ClientID       string   `json:"clientId"`
	Username       string   `json:"username"`
	Enabled        *bool    `json:"enabled"`
	DefaultScopes  []string `json:"defaultClientScopes"`
	OptionalScopes []string `json:"optionalClientScopes"`
}

// missing says what the event should tell and does not.
func (r *record) missing(e *event.Event) {
	switch e.Kind {
	case event.Credential:
		e.Warnings = append(e.Warnings, "no reference of the credential: Keycloak does not log one")
	case event.Session:
		if e.Correlation.SessionID == "" {
			e.Warnings = append(e.Warnings, "no session id: all sessions of the subject")
		}
	case event.Grant:
		switch {
		case r.ResourceType == "CLIENT_SCOPE_CLIENT_MAPPING":
			e.Warnings = append(e.Warnings, "scope is told by its internal id only")
		case strings.HasSuffix(r.ResourceType, "_MAPPING") && len(e.Token.Scope) == 0:
			e.Warnings = append(e.Warnings, "roles not told: the admin event has no representation that names them")
		}
	}
	if r.AuthDetails.UserID == "" {
		e.Warnings = append(e.Warnings, "no actor: the admin event names nobody")
	}
}
