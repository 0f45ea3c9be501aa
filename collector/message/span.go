package message

import (
	"context"
	"crypto/rand"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Caller returns the span of who sent the message: by its traceparent (from
// "_meta" as MCP 2026-07-28 has it), else by the HTTP headers, which may be nil.
func Caller(traceparent string, headers propagation.TextMapCarrier) trace.SpanContext {
	caller := remote(propagation.MapCarrier{"traceparent": traceparent})
	if !caller.IsValid() && headers != nil {
		caller = remote(headers)
	}
	return caller
}

func remote(carrier propagation.TextMapCarrier) trace.SpanContext {
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// NewSpan makes up a span below the caller's, or the root of a trace.
func NewSpan(caller trace.SpanContext) trace.SpanContext {
	var c trace.SpanContextConfig
	rand.Read(c.TraceID[:])
	if caller.IsValid() {
		c.TraceID = caller.TraceID()
	}
	rand.Read(c.SpanID[:])
	c.TraceFlags = trace.FlagsSampled
	return trace.NewSpanContext(c)
}
