package otlp

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// outcome says how it ended, where the record did not say it in our names.
func (r *record) outcome(e *event.Event) {
	if e.Kind == event.ToolInvocation {
		r.callOutcome(e)
		return
	}
	if e.Outcome != "" {
		return
	}
	switch {
	case e.Decision.Effect == event.Deny:
		e.Outcome = event.Denied
	case e.Decision.Effect == event.EffectError, r.failed:
		e.Outcome = event.Error
	default:
		e.Outcome = event.Success
	}
}

func (r *record) callOutcome(e *event.Event) {
	errorCode := r.attrs.text("mcp.error.code", "rpc.response.status_code", "rpc.jsonrpc.error_code")
	errorType := r.attrs.text("error.type")
	httpStatus, _ := r.attrs.int("http.response.status_code", "http.status", "http.status_code")
	outcome, result := event.Success, "ok"
	switch {
	case errorType == "tool_error":
		outcome, result = event.Failure, "tool_error"
	case r.hiddenDenial(errorCode):
		outcome, result = event.Denied, "rpc_error"
		e.Warnings = append(e.Warnings, "denial inferred from -32602 Unknown tool")
	case httpStatus == http.StatusUnauthorized || httpStatus == http.StatusForbidden:
		outcome, result = event.Denied, "rpc_error"
	case errorCode != "" && errorCode != "0" && errorCode != "OK", errorType != "", httpStatus >= 400, r.failed:
		outcome, result = event.Error, "rpc_error"
	}
	if e.Outcome == "" {
		e.Outcome = outcome
	}
	if e.Tool.ResultStatus == "" {
		e.Tool.ResultStatus = result
	}
	if e.Tool.ErrorCode != "" || result == "ok" {
		return
	}
	switch {
	case errorCode != "":
		e.Tool.ErrorCode = errorCode
	case httpStatus >= 400:
		e.Tool.ErrorCode = strconv.FormatInt(httpStatus, 10)
	default:
		e.Tool.ErrorCode = errorType
	}
}

// hiddenDenial recognises how agentgateway refuses a tool: as if there were
// none of that name. Its access log has the code and the reason MCP, and the
// text only where the operator logs it.
func (r *record) hiddenDenial(errorCode string) bool {
	if errorCode != "-32602" {
		return false
	}
	texts := []string{r.message}
	for _, name := range []string{"error", "error.message", "mcp.error.message", "exception.message"} {
		texts = append(texts, asText(r.attrs.values[name]))
	}
	said := strings.ToLower(strings.Join(texts, " "))
	if strings.Contains(said, "unknown tool") {
		return true
	}
	return strings.TrimSpace(said) == "" && asText(r.attrs.values["reason"]) == "MCP"
}
