package kong

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/schemas/event"
)

// rpc is one JSON-RPC request that Kong dispatched. A request that its ACL
// refused is not among them: it has an audit entry only.
type rpc struct {
	ID       json.RawMessage `json:"id"`
	Method   string          `json:"method"`
	ToolName string          `json:"tool_name"`
	// Latency is in milliseconds.
	Latency float64 `json:"latency"`
	// ResponseBodySize is in bytes.
	ResponseBodySize float64 `json:"response_body_size"`
	// Error is a text in the documentation; anything else than null counts.
	Error json.RawMessage `json:"error"`
	// Payload is there where the operator logs payloads, as JSON text.
	Payload struct {
		Request  string `json:"request"`
		Response string `json:"response"`
	} `json:"payload"`
}

// call turns one JSON-RPC request into an event; nil for what uses nothing of
// the server (notifications, ping).
func (in *entry) call(r rpc, id string) *event.Event {
	family, _, _ := strings.Cut(r.Method, "/")
	switch {
	case r.Method == "initialize" && in.AI.MCP.SessionID != "":
		e := in.common(id)
		e.Kind, e.Type = event.Session, event.TypeSessionStarted
		in.outcome(r, e)
		e.Tool = event.Tool{}
		return e
	case family != "tools" && family != "resources" && family != "prompts":
		return nil
	}
	e := in.common(id)
	e.Kind, e.Type = event.ToolInvocation, message.TypeOf(r.Method)
	e.Correlation.JSONRPCID = scalar(r.ID)
	e.Tool = event.Tool{
		Name: r.ToolName, ServerMethod: r.Method,
		DurationMS: whole(r.Latency), ResponseBytes: whole(r.ResponseBodySize),
	}
	r.arguments(e)
	in.outcome(r, e)
	if e.Subject == (event.Party{}) && !in.anonymous() {
		e.Warnings = append(e.Warnings, "no subject: identity lost at the source")
	}
	return e
}

// outcome says how the request ended. Without payloads a tool's own error
// (result.isError) looks like success, so only then the result is called ok.
func (in *entry) outcome(r rpc, e *event.Event) {
	answer := r.answer()
	status := in.Response.Status
	e.Outcome = event.Success
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode = event.Denied, "rpc_error", strconv.Itoa(status)
	case answer.Error != nil || given(r.Error):
		e.Outcome, e.Tool.ResultStatus = event.Error, "rpc_error"
		if answer.Error != nil {
			e.Tool.ErrorCode = scalar(answer.Error.Code)
		}
	case status >= http.StatusBadRequest:
		e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode = event.Error, "rpc_error", strconv.Itoa(status)
	case answer.Result == nil:
	case answer.Result.IsError:
		e.Outcome, e.Tool.ResultStatus = event.Failure, "tool_error"
	default:
		e.Tool.ResultStatus = "ok"
	}
}

// answer is what is read of a JSON-RPC response: how it ended, nothing else.
type answer struct {
	Error *struct {
		Code json.RawMessage `json:"code"`
	} `json:"error"`
	Result *struct {
		IsError bool `json:"isError"`
	} `json:"result"`
}

func (r *rpc) answer() answer {
	var a answer
	if json.Unmarshal([]byte(r.Payload.Response), &a) != nil {
		return answer{}
	}
	return a
}

func given(raw json.RawMessage) bool {
	s := string(raw)
	return s != "" && s != "null" && s != `""` && s != "false"
}

// whole is a size or duration that fits an event.
func whole(f float64) int64 {
	if f < 0 || f > 1<<53 {
		return 0
	}
	return int64(f)
}
