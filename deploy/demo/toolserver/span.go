package toolserver

import (
	"context"
	"crypto/rand"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// remote reads the caller's span from the request's "_meta".
func remote(meta mcp.Meta) trace.SpanContext {
	carrier := propagation.MapCarrier{}
	if parent, ok := meta["traceparent"].(string); ok {
		carrier["traceparent"] = parent
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

func parentSpan(meta mcp.Meta) string {
	if parent := remote(meta); parent.IsValid() {
		return parent.SpanID().String()
	}
	return ""
}

// child is the span of the call below the caller's, or the first of a new trace.
func child(meta mcp.Meta) trace.SpanContext {
	var span trace.SpanContextConfig
	rand.Read(span.TraceID[:])
	if parent := remote(meta); parent.IsValid() {
		span.TraceID = parent.TraceID()
	}
	rand.Read(span.SpanID[:])
	span.TraceFlags = trace.FlagsSampled
	return trace.NewSpanContext(span)
}
