package agentgateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// calls are the methods that use what a server offers, and their types.
var calls = map[string]string{
	"tools/call": event.TypeToolCall, "tools/list": event.TypeToolList,
	"resources/read": "mcp.resources.read", "resources/list": "mcp.resources.list",
	"prompts/get": "mcp.prompts.get", "prompts/list": "mcp.prompts.list",
}

// reasonMCP is that of the answers which the gateway's MCP proxy made itself.
const reasonMCP = "MCP"

// reasons are the gateway's own for refusing a caller.
var reasons = map[string]string{
	"JwtAuth": "the token was refused", "Oidc": "the login was refused", "BasicAuth": "the password was refused",
	"APIKeyAuth": "the API key was refused", "ExtAuth": "external authorization refused", "Authorization": "authorization refused",
}

// reasonExtAuth is that of an external authorization service. The gateway gives
// it too when the service could not answer; the status is then 403, or whatever
// the operator set (crates/agentgateway/src/http/ext_authz.rs, FailureMode).
const reasonExtAuth = "ExtAuth"

// refusal is why the gateway refused.
type refusal struct {
	effect         event.Effect
	outcome        event.Outcome
	engine, reason string
	warning        string
}

func denial(engine, reason, warning string) *refusal {
	return &refusal{event.Deny, event.Denied, engine, reason, warning}
}

// refusal tells whether the gateway refused the caller; nil when it did not.
func (in *entry) refusal() *refusal {
	if text, ok := reasons[in.Reason]; ok {
		return in.turnedAway(in.Reason + ": " + text)
	}
	if in.Reason != reasonMCP {
		return nil
	}
	said := strings.TrimPrefix(in.Error, "mcp: ")
	if said == "" {
		said = in.ErrorMessage
	}
	switch {
	case strings.HasPrefix(said, "mcpGuardrails rejected"):
		return denial("mcpGuardrails", "a guardrail refused", "")
	case said == "" && text(in.ErrorCode) == invalidParams:
		return hidden("answered by the gateway, without text")
	}
	if kind := hides(said); kind != "" {
		return hidden("Unknown " + kind)
	}
	return nil
}

func hidden(by string) *refusal {
	return denial(Type, "mcpAuthorization refused", "denial inferred from "+invalidParams+" "+by)
}

// turnedAway is a refusal by HTTP status, before the request reached MCP.
func (in *entry) turnedAway(reason string) *refusal {
	switch in.HTTPStatus {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		if in.Reason == reasonExtAuth {
			return denial(Type, reason, "refused, or the authorization service could not answer: agentgateway tells no difference")
		}
		return denial(Type, reason, "")
	}
	if in.Reason == reasonExtAuth && in.HTTPStatus >= 500 {
		return &refusal{event.EffectError, event.Error, Type, "ExtAuth: no answer", ""}
	}
	return nil
}

const invalidParams = "-32602" // JSON-RPC

// hides returns what the text denies the existence of, when it is the one behind
// which the gateway hides that a rule refused (crates/agentgateway/src/mcp/mod.rs,
// Error::Authorization); else nothing.
func hides(said string) string {
	rest, ok := strings.CutPrefix(said, "Unknown ")
	kind, _, named := strings.Cut(rest, ": ")
	if ok && named && (kind == "tool" || kind == "prompt" || kind == "resource") {
		return kind
	}
	return ""
}

func (in *entry) call(name string, denied *refusal) *event.Event {
	e := &event.Event{Kind: event.ToolInvocation, Type: name}
	e.Tool = event.Tool{Name: in.Tool, ServerMethod: in.Method, DurationMS: milliseconds(in.Duration)}
	e.SetAttribute("mcp.resource.uri", in.ResourceURI)
	e.SetAttribute("gen_ai.prompt.name", in.Prompt)
	e.Outcome, e.Tool.ResultStatus = in.outcome(denied)
	if e.Outcome == event.Success {
		return e
	}
	e.Tool.ErrorCode = text(in.ErrorCode)
	if e.Tool.ErrorCode == "" && in.HTTPStatus >= 400 {
		e.Tool.ErrorCode = strconv.FormatInt(in.HTTPStatus, 10)
	}
	if denied != nil && denied.warning != "" {
		e.Warnings = append(e.Warnings, denied.warning)
	}
	return e
}

// outcome takes 401 and 403 without a reason for the server's refusal. Whether a
// tool reported failure in its result, the log does not say.
func (in *entry) outcome(denied *refusal) (event.Outcome, string) {
	code := text(in.ErrorCode)
	switch {
	case denied != nil:
		return denied.outcome, "rpc_error"
	case in.HTTPStatus == http.StatusUnauthorized, in.HTTPStatus == http.StatusForbidden:
		return event.Denied, "rpc_error"
	case code != "" && code != "0", in.HTTPStatus >= 400, in.Error != "", in.Reason == reasonMCP:
		return event.Error, "rpc_error"
	}
	return event.Success, "ok"
}

// decision states the refusal. It is inferred: the entry is of the request, and
// there is none of what was allowed.
func (in *entry) decision(denied *refusal) *event.Event {
	e := &event.Event{Kind: event.PermissionDecision, Type: "agentgateway.refused", Outcome: denied.outcome}
	e.Decision = event.Decision{Effect: denied.effect, Engine: denied.engine, Reason: denied.reason, Policy: in.Route, Inferred: true}
	e.Decision.Action, e.Decision.Resource = in.Method, first(in.Tool, in.Prompt, in.ResourceURI)
	if in.Method == "" {
		e.Decision.Action, e.Decision.Resource = in.HTTPMethod, in.HTTPPath
	}
	e.Tool.Name = in.Tool
	if in.Tool != "" {
		e.Tool.ServerMethod = in.Method
	}
	if denied.warning != "" {
		e.Warnings = append(e.Warnings, denied.warning)
	}
	return e
}

// milliseconds reads "12ms", or a number of milliseconds.
func milliseconds(v any) int64 {
	switch v := v.(type) {
	case string:
		if d, err := time.ParseDuration(v); err == nil && d > 0 {
			return d.Milliseconds()
		}
	case float64:
		if v >= 0 && v < 1<<53 {
			return int64(v)
		}
	}
	return 0
}
