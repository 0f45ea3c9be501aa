package kong

import (
	"github.com/custody-audit/custody/schemas/event"
)

// audit is one decision of an ACL, on one primitive (a tool, a resource, a
// prompt) or, without a name, on the list of them.
type audit struct {
	Primitive string `json:"primitive"`
	Name      string `json:"primitive_name"`
	Action    string `json:"action"`
	Scope     string `json:"scope"`
	// Consumer is who asked (id) and which entry of the ACL matched (name), a
	// consumer's or a consumer group's by identifier.
	Consumer struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Identifier string `json:"identifier"`
	} `json:"consumer"`
}

// decision turns one audit entry into an event.
func (in *entry) decision(a audit, id string) *event.Event {
	e := in.common(id)
	e.Kind, e.Type = event.PermissionDecision, event.TypeDecision
	e.Decision = event.Decision{
		ID: id, Engine: "kong-acl", Policy: in.Route.Name, Rule: a.rule(),
		Action: a.asked(), Resource: a.resource(),
	}
	if a.Primitive == "tool" {
		e.Tool = event.Tool{Name: a.Name, ServerMethod: a.asked()}
	}
	if len(in.AI.MCP.RPC) == 1 { // else nothing says which request it belongs to
		e.Correlation.JSONRPCID = scalar(in.AI.MCP.RPC[0].ID)
	}
	switch a.Action {
	case "allow":
		e.Decision.Effect, e.Outcome = event.Allow, event.Success
	case "deny":
		e.Decision.Effect, e.Outcome = event.Deny, event.Denied
	default:
		e.Decision.Effect, e.Outcome = event.EffectError, event.Error
		e.Warnings = append(e.Warnings, "audit.action is neither allow nor deny")
	}
	a.who(e, in.anonymous())
	if a.Scope != "" {
		e.Attributes["kong.acl.scope"] = a.Scope
	}
	return e
}

// rule is the ACL's entry that matched.
func (a *audit) rule() string {
	if a.Consumer.Name == "" {
		return ""
	}
	return first(a.Consumer.Identifier, "subject") + ":" + a.Consumer.Name
}

// asked is the method that the decision is about.
func (a *audit) asked() string {
	switch {
	case a.Primitive == "":
		return ""
	case a.Name == "":
		return a.Primitive + "s/list"
	case a.Primitive == "tool":
		return "tools/call"
	case a.Primitive == "resource":
		return "resources/read"
	case a.Primitive == "prompt":
		return "prompts/get"
	}
	return a.Primitive
}

func (a *audit) resource() string {
	if a.Name == "" {
		return a.Primitive
	}
	return first(a.Primitive, "primitive") + ":" + a.Name
}

// who takes the subject from the audit entry where the record has none: the
// name only when a single consumer matched, not a group.
func (a *audit) who(e *event.Event, anonymous bool) {
	if anonymous {
		return
	}
	if e.Subject.Sub == "" {
		e.Subject.Sub = a.Consumer.ID
	}
	if e.Subject.Name == "" && a.Consumer.Identifier == "username" && e.Subject.Sub == a.Consumer.ID {
		e.Subject.Name = a.Consumer.Name
	}
	if e.Subject == (event.Party{}) {
		e.Warnings = append(e.Warnings, "no subject: identity lost at the source")
	}
}
