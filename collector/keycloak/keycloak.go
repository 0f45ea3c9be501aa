// Package keycloak takes the user events and admin events of a Keycloak realm:
// what its token service issued and exchanged, who logged in, and which roles,
// scopes and clients were changed.
//
// It stands before the gateway in two ways. [Parse] reads one event as JSON, in
// the form of an event listener or webhook (org.keycloak.events.Event and
// AdminEvent), of the HTTP target of event hooks (sourceType, eventId) or of the
// admin REST API (EventRepresentation, AdminEventRepresentation). [Poller] asks
// the admin REST API for them, where no listener can be installed.
//
// An event names its realm by id and not the issuer that stands in the realm's
// tokens. The poller learns it from Keycloak; for events that are pushed it stands
// in the source's configuration ([New]).
//
// It follows Keycloak 26: standard token exchange, and token exchange delegation
// with its details actor, actor_id, actor_type and delegation_chain. It does not
// tell token references, because Keycloak logs the jti of tokens and never their
// hash: an exchange or a token issued has a warning in their place. Events that
// say nothing about identity or entitlement are ignored.
package keycloak

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "keycloak"

// Parse is a collector.Parse: it turns one user event or admin event into the
// identity event that it states, or none.
func Parse(raw []byte) ([]*event.Event, error) { return read(raw, "") }

// New returns a collector.Parse for a realm whose tokens have this issuer. What it
// says stands above the record's own member realmIssuer, which the poller adds.
func New(issuer string) collector.Parse {
	return func(raw []byte) ([]*event.Event, error) { return read(raw, issuer) }
}

func read(raw []byte, issuer string) ([]*event.Event, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("not a Keycloak event: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	var e *event.Event
	if r.OperationType != "" {
		e = r.adminEvent()
	} else {
		e = r.userEvent()
	}
	if e == nil {
		return nil, nil
	}
	r.issued(e, cmp.Or(issuer, r.RealmIssuer))
	e.Fit()
	return []*event.Event{e}, nil
}
