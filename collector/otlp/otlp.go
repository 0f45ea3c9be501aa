// Package otlp takes OpenTelemetry logs and spans over OTLP/gRPC and OTLP/HTTP
// (protobuf and JSON, plain, gzip or zstd) and keeps those that state an
// identity fact.
//
// Three kinds of records do: MCP tool calls by the semantic conventions of
// OpenTelemetry (mcp.method.name = tools/call), which agentgateway, ToolHive and
// Envoy AI gateway write with additions of their own; tool executions of agents
// (gen_ai.operation.name = execute_tool); and records named custody.KIND, whose
// attributes bear the names of the event's fields, as exchange.granted_scope.
// All others are counted and ignored, so a whole telemetry stream can be sent
// here. Type tells apart who saw a call: mcp.tools.call is the server or the
// gateway, mcp.tools.call.client and gen_ai.execute_tool are the caller. A gateway that exports a span and an access
// log of the same call tells it twice: send one of the two signals.
//
// An export is acknowledged when its events are durable; otherwise the sender is
// told to repeat it. Refused records are reported as partial success. A span has
// the same event id whenever it is exported, and so has a log record. Arguments
// and results of tools are measured and hashed, never kept.
//
// Listeners, TLS and the knowledge of sources belong to the caller.
package otlp

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/protobuf/proto"

	"github.com/custody-audit/custody/collector"
)

// Type is the source type.
const Type = "otlp"

// Config configures a Receiver.
type Config struct {
	// Intake takes the events. Required.
	Intake collector.Intake
	// Sources tells who sends. Required. It is asked before a body is read.
	Sources collector.Authenticator

	Logger *slog.Logger // nil discards
	Meter  metric.Meter // nil counts nothing
}

// Receiver takes exports. It is safe for concurrent use.
type Receiver struct {
	cfg Config
	tel *telemetry
}

// New returns a Receiver, to be registered where it shall listen.
func New(cfg Config) *Receiver {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		cfg.Logger.Error("otlp receiver is not fully measured", "error", err)
	}
	return &Receiver{cfg, tel}
}

// take hands the identity events of a request to the intake and returns the answer.
func (r *Receiver) take(ctx context.Context, src *collector.Source, s *signal, request proto.Message) (proto.Message, error) {
	batch := s.parse(request)
	r.tel.ignored.Add(ctx, int64(batch.Ignored), r.tel.source(src, s))
	if len(batch.Items) == 0 {
		return s.response(0, ""), nil
	}
	result, err := collector.AcceptBatch(ctx, r.cfg.Intake, src, Type, batch.Items)
	if err != nil {
		if !errors.Is(err, collector.ErrUnavailable) {
			r.cfg.Logger.Error("accept events", "source", src.ID, "error", err)
		}
		return nil, err
	}
	if len(result.Rejected) == 0 {
		return s.response(0, ""), nil
	}
	r.tel.rejected.Add(ctx, int64(len(result.Rejected)), r.tel.source(src, s))
	message := batch.explain(result.Rejected)
	r.cfg.Logger.Warn("records refused", "source", src.ID, "signal", s.name, "count", len(result.Rejected), "problems", message)
	return s.response(int64(len(result.Rejected)), message), nil
}
