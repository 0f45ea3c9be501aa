package cerbos

import (
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/custody-audit/custody/schemas/event"
)

// access makes an event of a call that asked for decisions and failed. When the
// engine got as far as a decision log entry there are two events of the call;
// both say error.
func (in *entry) access() []*event.Event {
	if in.StatusCode == 0 || !asksForDecision(in.Method) {
		return nil
	}
	e := in.decision("cerbos.access", "access")
	e.Decision.ID = in.CallID
	e.Decision.Action = in.Method
	fail(e, "gRPC status "+codes.Code(in.StatusCode).String())
	e.Warnings = append(e.Warnings, "an access log entry names no principal: identity lost at the source")
	in.annotate(e)
	return []*event.Event{e}
}

// asksForDecision knows the methods of cerbos.svc.v1.CerbosService and of the
// AuthZEN service; those of the admin service decide nothing.
func asksForDecision(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch service {
	case "cerbos.svc.v1.CerbosService":
		return strings.HasPrefix(name, "Check") || strings.HasPrefix(name, "Plan") || name == "ResourcesQueryPlan"
	case "authzen.authorization.v1.AuthorizationService":
		return strings.HasPrefix(name, "AccessEvaluation")
	}
	return false
}
