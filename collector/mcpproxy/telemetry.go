package mcpproxy

import (
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/custody-audit/custody/schemas/event"
)

type telemetry struct {
	calls      metric.Int64Counter
	unrecorded metric.Int64Counter
	unread     metric.Int64Counter
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &telemetry{}
	var errs [3]error
	t.calls, errs[0] = m.Int64Counter("custody.mcpproxy.calls", metric.WithUnit("{call}"), metric.WithDescription("Recorded calls, by method and outcome."))
	t.unrecorded, errs[1] = m.Int64Counter("custody.mcpproxy.unrecorded", metric.WithUnit("{call}"), metric.WithDescription("Calls whose event could not be handed over."))
	t.unread, errs[2] = m.Int64Counter("custody.mcpproxy.unread", metric.WithUnit("{message}"), metric.WithDescription("Messages that were passed on unread because of their size."))
	return t, errors.Join(errs[:]...)
}

func (t *telemetry) call(ctx context.Context, method string, outcome event.Outcome) {
	if !slices.Contains(recorded, method) {
		method = "other" // a caller chooses it
	}
	t.calls.Add(ctx, 1, metric.WithAttributes(attribute.String("mcp.method.name", method), attribute.String("custody.outcome", string(outcome))))
}
