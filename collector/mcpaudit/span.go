package mcpaudit

import (
	"context"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/collector/message"
)

// spanOf returns the call's span and the id of its parent. A span that tracing
// middleware has put into ctx is the call's own. Otherwise one is made up below
// the caller's.
func spanOf(ctx context.Context, req *mcp.CallToolRequest) (span trace.SpanContext, parent string) {
	var headers propagation.TextMapCarrier
	if req.Extra != nil {
		headers = propagation.HeaderCarrier(req.Extra.Header)
	}
	traceparent, _ := req.Params.Meta["traceparent"].(string)
	caller := message.Caller(traceparent, headers)
	if caller.IsValid() {
		parent = caller.SpanID().String()
	}
	if own := trace.SpanContextFromContext(ctx); own.IsValid() && !own.IsRemote() && (!caller.IsValid() || own.TraceID() == caller.TraceID()) {
		return own, parent
	}
	return message.NewSpan(caller), parent
}
