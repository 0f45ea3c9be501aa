package openbao

import (
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// denied is what both servers say when a policy, or an unknown token, ends a request.
const denied = "permission denied"

// engine is what decides, whichever of the two servers it is.
const engine = "openbao"

// decision reads the request entry. Its policy_results is the answer; an entry
// with an error and without an answer was refused before policies were asked,
// which is a denial only when it says so.
func (in *entry) decision() []*event.Event {
	results := in.Auth.PolicyResults
	if results == nil && in.Error == "" {
		return nil // unauthenticated: the response says what came of it
	}
	r := in.Request
	e := in.common("request")
	e.Kind, e.Type = event.PermissionDecision, event.TypeDecision
	e.Decision = event.Decision{ID: r.ID, Engine: engine, Action: r.Operation, Resource: in.path(), Reason: reason(in.Error)}
	e.Tool = event.Tool{Name: in.path(), ServerMethod: r.Operation}
	says := strings.Contains(in.Error, denied)
	switch {
	case results != nil && results.Allowed && in.Error == "":
		e.Decision.Effect, e.Outcome = event.Allow, event.Success
	case results != nil && !results.Allowed && (in.Error == "" || says):
		e.Decision.Effect, e.Outcome = event.Deny, event.Denied
	case says: // an unknown or expired token has no policies to ask
		e.Decision.Effect, e.Outcome, e.Decision.Inferred = event.Deny, event.Denied, true
	default:
		e.Decision.Effect, e.Outcome = event.EffectError, event.Error
	}
	if results != nil {
		e.Decision.Policy = in.granting()
	}
	if e.Subject == (event.Party{}) {
		e.Warnings = append(e.Warnings, "no subject: identity lost at the source")
	}
	return []*event.Event{e}
}

// granting names the policies that allowed it, with their namespace where it is not root's.
func (in *entry) granting() string {
	var names []string
	for _, p := range in.Auth.PolicyResults.Granting {
		if p.Name != "" {
			names = append(names, p.NamespacePath+p.Name)
		}
	}
	return strings.Join(names, ",")
}

// reason is one line of the server's error, which is a list over several.
func reason(text string) string {
	return strings.Join(strings.Fields(text), " ")
}
