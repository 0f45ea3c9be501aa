package teleport

import (
	"regexp"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// succeeded says whether Teleport let it through and, over HTTP, the MCP server
// answered below 400. It says nothing about the tool's result.
func (in *entry) succeeded() bool {
	if in.Success != nil {
		return *in.Success && in.Error == ""
	}
	// mcp.session.start and .invalid_http_request have no status.
	return in.Error == "" && !strings.HasSuffix(in.Code, "E") && !strings.HasSuffix(in.Code, "W")
}

func (in *entry) outcome(e *event.Event) {
	if in.succeeded() {
		e.Outcome = event.Success
		return
	}
	reason := withoutQueries(in.Error)
	status := httpStatus(in.Error)
	switch {
	case refused(in.Error):
		e.Outcome = event.Denied
		e.Decision = event.Decision{Effect: event.Deny, Engine: engine, Action: in.Message.Method, Resource: in.AppName, Reason: reason}
	case status == "401" || status == "403":
		e.Outcome = event.Denied // by the MCP server behind Teleport
	default:
		e.Outcome = event.Error
	}
	if e.Decision.Effect == "" {
		set(e.Attributes, "error", reason)
	}
	if e.Kind == event.ToolInvocation {
		e.Tool.ErrorCode = status
		if refused(in.Error) || status != "" {
			e.Tool.ResultStatus = "rpc_error"
		}
	}
}

// refusals are parts of the errors by which Teleport's access checks refuse.
var refusals = []string{
	"access denied", "user does not have permissions", "rbac is enforced", "requires session mfa", "requires mfa", "requires a trusted device",
}

func refused(text string) bool {
	text = strings.ToLower(text)
	for _, part := range refusals {
		if strings.Contains(text, part) {
			return true
		}
	}
	return strings.Contains(text, "access to ") && strings.Contains(text, " denied")
}

// statusPattern is how Teleport writes the MCP server's answer: "HTTP 404 Not Found".
var statusPattern = regexp.MustCompile(`^HTTP ([1-5][0-9]{2})\b`)

func httpStatus(text string) string {
	if m := statusPattern.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

var queryPattern = regexp.MustCompile(`\?[^\s"']+|://[^\s/"'@]*@`)

// withoutQueries leaves out of an error what a URL in it may hold of secrets.
func withoutQueries(text string) string {
	return queryPattern.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == '?' {
			return ""
		}
		return "://"
	})
}
