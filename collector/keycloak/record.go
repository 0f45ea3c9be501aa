package keycloak

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// record is a user event or an admin event. The names in a row are those of
// listeners and the REST API, then those of event hooks.
type record struct {
	ID      string `json:"id"`
	EventID string `json:"eventId"`
	// Time in milliseconds since 1970.
	Time      int64  `json:"time"`
	Type      string `json:"type"`
	EventType string `json:"eventType"`
	RealmID   string `json:"realmId"`
	RealmName string `json:"realmName"`
	// RealmIssuer is what the realm's tokens have in iss; no event of Keycloak's own has it.
	RealmIssuer string  `json:"realmIssuer"`
	ClientID    string  `json:"clientId"`
	UserID      string  `json:"userId"`
	SessionID   string  `json:"sessionId"`
	IPAddress   string  `json:"ipAddress"`
	Error       string  `json:"error"`
	Details     details `json:"details"`

	// Of admin events.
	OperationType  string          `json:"operationType"`
	ResourceType   string          `json:"resourceType"`
	ResourcePath   string          `json:"resourcePath"`
	Representation json.RawMessage `json:"representation"`
	AuthDetails    admin           `json:"authDetails"`
	Auth           admin           `json:"auth"`
}

// admin is who used the admin API. ClientID is the client's internal UUID.
type admin struct {
	RealmID   string `json:"realmId"`
	ClientID  string `json:"clientId"`
	UserID    string `json:"userId"`
	IPAddress string `json:"ipAddress"`
}

// maxMillis is the last millisecond of the year 9999.
const maxMillis = 253402300799999

func (r *record) check() error {
	var problems event.Problems
	if r.Time <= 0 || r.Time > maxMillis {
		problems = append(problems, event.Problem{Field: "time", Reason: "want milliseconds since 1970"})
	}
	if r.Type == "" {
		r.Type = r.EventType
	}
	if r.Type == "" && r.OperationType == "" {
		problems = append(problems, event.Problem{Field: "type", Reason: "is required, or operationType"})
	}
	if len(problems) > 0 {
		return problems
	}
	if r.ID == "" {
		r.ID = r.EventID
	}
	if r.AuthDetails == (admin{}) {
		r.AuthDetails = r.Auth
	}
	return nil
}

// base is what every event has.
func (r *record) base(kind event.Kind, name string) *event.Event {
	e := &event.Event{
		Kind: kind, Type: name, Time: event.TimeOf(time.UnixMilli(r.Time)), Outcome: r.outcome(),
		Source: event.Source{EventID: r.ID}, ClientAddress: r.IPAddress,
	}
	r.note(e, "realm_id", r.RealmID)
	r.note(e, "realm_name", r.RealmName)
	r.note(e, "error", r.Error)
	return e
}

// note keeps a fact that has no field of its own.
func (r *record) note(e *event.Event, name, value string) {
	if value == "" {
		return
	}
	if e.Attributes == nil {
		e.Attributes = map[string]string{}
	}
	e.Attributes["keycloak."+name] = value
}

// details are texts in Keycloak; a listener of somebody else's may put other values there.
type details map[string]any

func (d details) text(name string) string {
	switch v := d[name].(type) {
	case string:
		return strings.TrimSpace(v)
	case float64, bool:
		return fmt.Sprint(v)
	}
	return ""
}

// first returns the first detail of these names that is there.
func (d details) first(names ...string) string {
	for _, n := range names {
		if s := d.text(n); s != "" {
			return s
		}
	}
	return ""
}

// list splits a detail at spaces, as Keycloak joins scopes and audiences.
func (d details) list(name string) []string {
	if s := d.text(name); s != "" {
		return strings.Fields(s)
	}
	return nil
}

// reference reads a token's reference, which only a listener of somebody else's
// can add: NAME_ref, or NAME with the token itself, of which the reference is kept.
func (d details) reference(e *event.Event, name string) string {
	given := d.first(name+"_ref", name)
	if given == "" || event.ValidRef(given) {
		return given
	}
	e.Warnings = append(e.Warnings, "details."+name+" held a token; replaced by its reference")
	return event.TokenRef(given)
}
