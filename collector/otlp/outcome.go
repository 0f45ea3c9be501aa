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
		e.Warnings = append(e.Warnings, "denial inferred from the gateway's answer that there is no such tool")
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

// hiddenDenial recognises how agentgateway refuses: a tool as if there were none of
// that name, with the reason MCP, which an answer of the server itself has not. Its
// access log has the text, its spans only the code.
func (r *record) hiddenDenial(errorCode string) bool {
	if asText(r.attrs.values["reason"]) != "MCP" {
		return false
	}
	texts := []string{r.message}
	for _, name := range []string{"error", "error.message", "mcp.error.message", "exception.message"} {
		texts = append(texts, asText(r.attrs.values[name]))
	}
	said := strings.ToLower(strings.TrimSpace(strings.Join(texts, " ")))
	for _, refusal := range []string{"unknown tool", "unknown prompt", "unknown resource", "guardrails rejected"} {
		if strings.Contains(said, refusal) {
			return true
		}
	}
	return said == "" && errorCode == "-32602"
}
