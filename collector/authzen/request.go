package authzen

import (
	"encoding/json"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// evaluation is an Access Evaluation request: Authorization API 1.0, section
// "The Access Evaluation API Request".
type evaluation struct {
	Subject  *entity         `json:"subject"`
	Action   *action         `json:"action"`
	Resource *entity         `json:"resource"`
	Context  json.RawMessage `json:"context"`
}

// request may have several; its own members are then their defaults.
type request struct {
	evaluation
	Evaluations []evaluation `json:"evaluations"`
	Options     struct {
		Semantic string `json:"evaluations_semantic"`
	} `json:"options"`
}

type entity struct {
	Type       string         `json:"type"`
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties"`
}

type action struct {
	Name string `json:"name"`
}

// maxText is where texts that stand for all evaluations are cut, before they are
// checked in each. It is above what a field may be, so that Fit warns. In bytes.
const maxText = 2 * event.MaxString

// trim cuts what all evaluations have in common.
func (in *envelope) trim() {
	texts := []*string{&in.ID, &in.Error, &in.RequestID, &in.Traceparent, &in.PDP, &in.Policy, &in.PolicyVersion, &in.ClientAddress}
	if a := in.Request.Action; a != nil {
		texts = append(texts, &a.Name)
	}
	for _, one := range []*entity{in.Request.Subject, in.Request.Resource} {
		if one != nil {
			texts = append(texts, &one.Type, &one.ID)
		}
	}
	for _, t := range texts {
		*t = (*t)[:min(len(*t), maxText)]
	}
}

// all returns the evaluations with the defaults in; an entry's member replaces a
// default as a whole.
func (r *request) all() []evaluation {
	if len(r.Evaluations) == 0 {
		return []evaluation{r.evaluation}
	}
	out := make([]evaluation, len(r.Evaluations))
	for i, one := range r.Evaluations {
		if one.Subject == nil {
			one.Subject = r.Subject
		}
		if one.Action == nil {
			one.Action = r.Action
		}
		if one.Resource == nil {
			one.Resource = r.Resource
		}
		if len(one.Context) == 0 {
			one.Context = r.Context
		}
		out[i] = one
	}
	return out
}

// question fills who asked for what.
func (q evaluation) question(e *event.Event) {
	q.subject(e)
	if q.Action != nil {
		e.Decision.Action = q.Action.Name
	}
	if q.Resource != nil {
		e.Decision.Resource = q.Resource.ID
		set(e, "authzen.resource_type", q.Resource.Type)
		mcp(e, q.Resource)
	}
	if e.Decision.Action == "" || e.Decision.Resource == "" {
		e.Warnings = append(e.Warnings, "the request names no action or no resource")
	}
	var context map[string]any
	if len(q.Context) > 0 && json.Unmarshal(q.Context, &context) != nil {
		e.Warnings = append(e.Warnings, "the request's context is no object")
	}
	circumstances(e, context)
}

// subject reads type and id. "identity" is what the MCP binding writes for any
// subject of a token.
func (q evaluation) subject(e *event.Event) {
	switch {
	case q.Subject == nil || q.Subject.ID == "":
		e.Warnings = append(e.Warnings, "no subject: identity lost at the source")
	case q.Subject.ID == "anonymous":
		e.Warnings = append(e.Warnings, `subject "anonymous" is no identity`)
	default:
		iss := text(q.Subject.Properties["iss"])
		e.Subject = event.Party{Iss: iss[:min(len(iss), maxText)], Sub: q.Subject.ID, Type: partyType(q.Subject.Type)}
		if e.Subject.Type == "" {
			set(e, "authzen.subject_type", q.Subject.Type)
		}
	}
}

func partyType(name string) event.PartyType {
	switch t := event.PartyType(strings.ToLower(name)); t {
	case event.Human, event.Agent, event.Workload, event.Service, event.MCP:
		return t
	case "user", "person":
		return event.Human
	}
	return ""
}

// mcp reads the resource types of the COAZ binding for MCP: a tool's id is its
// name, a server's is the resource that its tokens are for.
func mcp(e *event.Event, r *entity) {
	switch strings.ToLower(r.Type) {
	case "tool":
		e.Tool.Name = r.ID
	case "mcp_server":
		e.Server.URI = r.ID
	case "resource", "prompt", "task":
	default:
		return
	}
	if strings.Contains(e.Decision.Action, "/") || e.Decision.Action == "initialize" {
		e.Tool.ServerMethod = e.Decision.Action
	}
}
