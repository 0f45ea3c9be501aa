package mcpaudit

import (
	"context"
	"crypto/rand"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// spanOf returns the call's span and the id of its parent. A span that tracing
// middleware has put into ctx is the call's own. Otherwise one is made up below
// the caller's: from "_meta" as MCP 2026-07-28 has it, else from the HTTP header.
func spanOf(ctx context.Context, req *mcp.CallToolRequest) (span trace.SpanContext, parent string) {
	caller := remote(propagation.MapCarrier{"traceparent": text(req.Params.Meta["traceparent"])})
	if !caller.IsValid() && req.Extra != nil {
		caller = remote(propagation.HeaderCarrier(req.Extra.Header))
	}
	if caller.IsValid() {
		parent = caller.SpanID().String()
	}
	if own := trace.SpanContextFromContext(ctx); own.IsValid() && !own.IsRemote() && (!caller.IsValid() || own.TraceID() == caller.TraceID()) {
		return own, parent
	}
	var c trace.SpanContextConfig
	rand.Read(c.TraceID[:])
	if caller.IsValid() {
		c.TraceID = caller.TraceID()
	}
	rand.Read(c.SpanID[:])
	c.TraceFlags = trace.FlagsSampled
	return trace.NewSpanContext(c), parent
}

func remote(carrier propagation.TextMapCarrier) trace.SpanContext {
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
