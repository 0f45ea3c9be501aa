package authzen

import (
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// result is what a Search API found: an action by its name, else a subject or a
// resource, whichever the request leaves open (Authorization API 1.0, section 8).
type result struct {
	entity
	Name string `json:"name"`
}

// maxResults bounds the events of one search.
const maxResults = 5_000

// grants makes one event of each result: that the subject may do the action to the
// resource. A search decides nothing, so what it asks for goes into attributes.
func (in *envelope) grants(results []result) ([]*event.Event, error) {
	switch {
	case len(results) > maxResults:
		return nil, event.Problems{{Field: "response.results", Reason: fmt.Sprintf("has more than %d entries", maxResults)}}
	case len(in.Request.Context)*len(results) > maxDefaults:
		return nil, event.Problems{{Field: "request.context", Reason: "is too large to stand for that many results"}}
	}
	events := make([]*event.Event, 0, len(results))
	for i := range results {
		q, found := in.Request.evaluation, &results[i]
		switch {
		case found.Name != "":
			q.Action = &action{Name: found.Name}
		case q.Subject == nil || q.Subject.ID == "":
			q.Subject = &found.entity
		default:
			q.Resource = &found.entity
		}
		e := in.event(i, true)
		e.Kind, e.Type, e.Outcome = event.Grant, event.TypeGrantListed, event.Success
		q.question(e)
		set(e, "grant.action", e.Decision.Action)
		set(e, "grant.resource", e.Decision.Resource)
		set(e, "grant.engine", e.Decision.Engine)
		e.Decision = event.Decision{}
		events = append(events, e)
	}
	return events, nil
}
