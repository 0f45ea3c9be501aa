package toolhive

import (
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// calls are the audited requests that use what a server offers, and their types.
var calls = map[string]string{
	"mcp_tool_call":      event.TypeToolCall,
	"mcp_tools_list":     event.TypeToolList,
	"mcp_resource_read":  "mcp.resources.read",
	"mcp_resources_list": "mcp.resources.list",
	"mcp_prompt_get":     "mcp.prompts.get",
	"mcp_prompts_list":   "mcp.prompts.list",
}

// methods stand in for a target without one.
var methods = map[string]string{
	"mcp_tool_call": "tools/call", "mcp_tools_list": "tools/list", "mcp_resource_read": "resources/read",
	"mcp_resources_list": "resources/list", "mcp_prompt_get": "prompts/get", "mcp_prompts_list": "prompts/list",
}

// outcome translates ToolHive's, which it takes from the HTTP status: 401 and
// 403 are denied, other 4xx failure, 5xx error. None of the last two carried a
// request out. A workflow that fails did run.
func (r *record) outcome() (o event.Outcome, known bool) {
	switch r.Outcome {
	case "success":
		return event.Success, true
	case "denied":
		return event.Denied, true
	case "failure":
		if strings.HasPrefix(r.Type, workflowPrefix) {
			return event.Failure, true
		}
		return event.Error, true
	case "error", "application_error":
		return event.Error, true
	}
	return "", false
}

// events returns what the record states, the call before its decision.
func (r *record) events(outcome event.Outcome) []*event.Event {
	if strings.HasPrefix(r.Type, workflowPrefix) {
		return r.workflow(outcome)
	}
	var events []*event.Event
	if name, ok := calls[r.Type]; ok {
		events = append(events, r.call(name, outcome))
	} else if e := r.connection(outcome); e != nil {
		events = append(events, e)
	}
	if outcome == event.Denied {
		events = append(events, r.decision())
	}
	return events
}

func (r *record) call(name string, outcome event.Outcome) *event.Event {
	e := &event.Event{Kind: event.ToolInvocation, Type: name, Outcome: outcome}
	e.Tool.ServerMethod = r.method()
	e.Tool.DurationMS = whole(r.Metadata.Extra["duration_ms"])
	e.Tool.ResponseBytes = whole(r.Metadata.Extra["response_size_bytes"])
	switch r.Type {
	case "mcp_tool_call":
		e.Tool.Name = r.Target.Name
	case "mcp_resource_read":
		e.SetAttribute("mcp.resource.uri", r.Target.Name)
	case "mcp_prompt_get":
		e.SetAttribute("gen_ai.prompt.name", r.Target.Name)
	}
	e.Tool.ResultStatus = "ok"
	if outcome != event.Success {
		e.Tool.ResultStatus = "rpc_error"
		e.Tool.ErrorCode = text(r.Metadata.Extra["jsonrpc_error_code"])
	}
	r.contents(e)
	return e
}

// method is the JSON-RPC method; ToolHive writes the HTTP method where it has none.
func (r *record) method() string {
	if m := r.Target.Method; strings.Contains(m, "/") || methods[r.Type] == "" {
		return m
	}
	return methods[r.Type]
}

// connection is the start of an MCP session, where ToolHive tells which.
func (r *record) connection(outcome event.Outcome) *event.Event {
	if (r.Type != "mcp_initialize" && r.Type != "sse_connection") || text(r.Source.Extra["session_id"]) == "" {
		return nil
	}
	return &event.Event{Kind: event.Session, Type: event.TypeSessionStarted, Outcome: outcome}
}

const undecided = "ToolHive does not tell who refused: its authorizer, one that failed, a webhook, the check of the token, or the server"

// decision states the refusal. It is inferred: the record is of the request, and
// there is none of what was allowed.
func (r *record) decision() *event.Event {
	e := &event.Event{Kind: event.PermissionDecision, Type: "toolhive.denied", Outcome: event.Denied, Warnings: []string{undecided}}
	e.Decision = event.Decision{Effect: event.Deny, Engine: "toolhive", Action: r.method(), Resource: r.Target.Name, Inferred: true}
	if e.Decision.Resource == "" {
		e.Decision.Resource = r.Target.Endpoint
	}
	if r.Type == "mcp_tool_call" {
		e.Tool.Name, e.Tool.ServerMethod = r.Target.Name, r.method()
	}
	return e
}
