package collector

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// TypeClaim is the event type of a source's attempt to speak for another source,
// tenant or server.
const TypeClaim = "custody.source.claim"

// ownSource is the source id of what a collector reports itself. No source of a
// file may have it.
const ownSource = "custody"

// claimError says that an event claims what its source may not say. It is kept
// apart from a mistake in form: this one is answered 403 and recorded.
type claimError struct {
	event.Problems
	resource string
}

// claim writes over the envelope what the authentication says. What the payload
// says otherwise is an error, so that a misconfigured source notices.
func claim(src *Source, sourceType string, e *event.Event) error {
	var problems event.Problems
	resource := ""
	refuse := func(field, got, want string) {
		if got != "" && got != want {
			problems = append(problems, event.Problem{Field: field, Reason: fmt.Sprintf("is %.80q, but the key belongs to %q; leave the field out", got, want)})
			resource = fmt.Sprintf("%s %.80s", field, got)
		}
	}
	refuse("tenant", e.Tenant, src.Tenant)
	refuse("source.id", e.Source.ID, src.ID)
	e.Tenant, e.Source.ID, e.Source.Type = src.Tenant, src.ID, sourceType
	if e.Source.EventID == "" {
		e.Source.EventID = e.ID // a sender's own id; ours is derived from it
	}
	if len(src.Servers) > 0 {
		if e.Server.ID == "" && len(src.Servers) == 1 {
			e.Server.ID = src.Servers[0]
		}
		if e.Server.ID != "" && !slices.Contains(src.Servers, e.Server.ID) { // an event of no server claims none
			problems = append(problems, event.Problem{Field: "server.id", Reason: fmt.Sprintf("%.80q is not among the servers of source %q", e.Server.ID, src.ID)})
			resource = fmt.Sprintf("server.id %.80s", e.Server.ID)
		}
	}
	if len(problems) > 0 {
		return &claimError{problems, resource}
	}
	return nil
}

// claimed is the event of the claims in one batch: a decision of the collector
// about the source, in the source's own tenant.
func (g *Gateway) claimed(src *Source, sourceType string, last *claimError, n int, now event.Time) (Canonical, error) {
	e := &event.Event{
		SchemaVersion: event.SchemaVersion, Kind: event.PermissionDecision, Type: TypeClaim, Time: now, ObservedTime: now, Tenant: src.Tenant,
		Source: event.Source{ID: ownSource, Type: ownSource, EventID: uuid.NewString()}, Outcome: event.Denied, Salt: event.NewSalt(),
		Subject: event.Party{Iss: ownSource, Sub: src.ID, Type: event.Service},
		Decision: event.Decision{
			Effect: event.Deny, Engine: ownSource, Policy: "sources", Action: "report", Resource: last.resource,
			Reason: fmt.Sprintf("%d of its %s events claimed what the source may not say", n, sourceType),
		},
	}
	e.Decision.ID = e.Source.EventID
	g.redactor(src).Event(e)
	e.Fit()
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return Canonical{e, e.Canonical()}, e.Validate()
}
