package mcpaudit

import (
	"context"
	"errors"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

// Values of Tool.ResultStatus.
const (
	statusOK            = "ok"
	statusToolError     = "tool_error"
	statusRPCError      = "rpc_error"
	statusInputRequired = "input_required"
)

// Middleware records tools/call; other methods pass. It is receiving middleware
// of the SDK: put it first, so that it sees what other middleware refuses.
func (a *Audit) Middleware(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		tool, ok := req.(*mcp.CallToolRequest)
		if !ok || tool.Params == nil {
			return next(ctx, method, req)
		}
		c := a.begin(ctx, method, tool)
		ctx = context.WithValue(trace.ContextWithSpanContext(ctx, c.span), callKey{}, c)
		res, err := next(ctx, method, req)
		e := c.conclude(res, err, a.cfg.Now())
		if lost := a.cfg.Emitter.Emit(ctx, e); lost != nil {
			a.cfg.Logger.ErrorContext(ctx, "a tool call could not be recorded", "tool", e.Tool.Name, "answered", a.cfg.FailOpen, "error", lost)
			if !a.cfg.FailOpen {
				return nil, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "audit unavailable"}
			}
		}
		return res, err
	}
}

func (a *Audit) begin(ctx context.Context, method string, req *mcp.CallToolRequest) *Call {
	e := &event.Event{
		Kind: event.ToolInvocation, Type: event.TypeToolCall, Time: event.TimeOf(a.cfg.Now()), Server: a.cfg.Server,
		Tool: event.Tool{Name: req.Params.Name, ServerMethod: method, RequestBytes: int64(len(req.Params.Arguments))},
	}
	message.NoteArguments(&e.Tool, req.Params.Arguments)
	if info := req.ClientInfo(); info != nil {
		e.Client.Name, e.Client.Version = info.Name, info.Version
	}
	p := a.presented(req.Extra)
	p.Describe(e)
	span, parent := spanOf(ctx, req)
	r := &e.Correlation
	r.TraceID, r.SpanID, r.ParentSpanID = span.TraceID().String(), span.SpanID().String(), parent
	if req.Extra != nil && req.Extra.Header != nil {
		h := req.Extra.Header
		r.JSONRPCID, e.ClientAddress, e.UserAgent = h.Get(headerID), h.Get(headerAddress), h.Get("User-Agent")
		if id := h.Get("Mcp-Session-Id"); req.Session != nil && id == req.Session.ID() { // there are none from 2026-07-28 on
			r.SessionID = id
		}
	}
	return &Call{audit: a, presented: p, span: span, began: a.cfg.Now(), event: e}
}

// presented returns what is known of the credential of a request.
func (a *Audit) presented(x *mcp.RequestExtra) *token.Presented {
	if x == nil || x.TokenInfo == nil {
		return &token.Presented{Token: event.Token{Verified: event.TokenAbsent}}
	}
	if p, ok := x.TokenInfo.Extra[presentedKey].(*token.Presented); ok {
		return p
	}
	// Another verifier than ours: what it says, and the reference of what it looked at.
	p := &token.Presented{
		Subject: event.Party{Sub: x.TokenInfo.UserID},
		Token:   event.Token{Scope: x.TokenInfo.Scopes, TokenType: "Bearer", Verified: event.TokenVerified},
	}
	if p.Subject.Sub != "" {
		p.Subject.Type = a.cfg.TypeOf("", p.Subject.Sub)
	}
	if !x.TokenInfo.Expiration.IsZero() {
		p.Token.ExpiresAt = event.TimeOf(x.TokenInfo.Expiration)
	}
	if raw := message.Bearer(x.Header.Get("Authorization")); raw != "" {
		p.Token.Ref = event.TokenRef(raw)
	}
	return p
}

// CodeDenied is the JSON-RPC error code of a call that policy refused.
const CodeDenied = -32001

// Denied is the answer of a tool that policy refused. The call's outcome is
// "denied" then, where other errors make a "failure".
func Denied(reason string) error {
	return &jsonrpc.Error{Code: CodeDenied, Message: "denied: " + reason}
}

// outcome writes how the call ended.
func outcome(e *event.Event, res mcp.Result, err error) {
	var refusal *jsonrpc.Error
	switch {
	case errors.As(err, &refusal):
		e.Outcome, e.Tool.ResultStatus, e.Tool.ErrorCode = event.Failure, statusRPCError, strconv.FormatInt(refusal.Code, 10)
		if refusal.Code == CodeDenied {
			e.Outcome = event.Denied
		}
	case err != nil:
		e.Outcome, e.Tool.ResultStatus = event.Failure, statusRPCError
	}
	if result, ok := res.(*mcp.CallToolResult); ok && err == nil && result != nil {
		e.Outcome, e.Tool.ResultStatus, e.Tool.ResponseBytes = event.Success, statusOK, size(result)
		switch {
		case result.IsError:
			e.Outcome, e.Tool.ResultStatus = event.Failure, statusToolError
		case result.NeedsInput():
			e.Tool.ResultStatus = statusInputRequired
		}
	}
}

// size is that of the content, which is what matters of a result.
func size(res *mcp.CallToolResult) (n int64) {
	for _, c := range res.Content {
		switch c := c.(type) {
		case *mcp.TextContent:
			n += int64(len(c.Text))
		case *mcp.ImageContent:
			n += int64(len(c.Data))
		case *mcp.AudioContent:
			n += int64(len(c.Data))
		}
	}
	return n
}
