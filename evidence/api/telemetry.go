package api

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry is what the package counts; durations are those of the HTTP server.
type telemetry struct {
	questions  metric.Int64Counter
	rows       metric.Int64Counter
	refused    metric.Int64Counter
	unrecorded metric.Int64Counter
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &telemetry{}
	for _, c := range []struct {
		counter          *metric.Int64Counter
		name, unit, what string
	}{
		{&t.questions, "custody.api.questions", "{question}", "Questions by operation and status."},
		{&t.rows, "custody.api.rows", "{row}", "Rows answered, by operation."},
		{&t.refused, "custody.api.refused", "{request}", "Requests that no operation saw, by reason."},
		{&t.unrecorded, "custody.api.unrecorded", "{question}", "Questions that could not be recorded; they were not answered, unless serve.fail_open is set."},
	} {
		var err error
		if *c.counter, err = m.Int64Counter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.what)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *telemetry) asked(ctx context.Context, operation string, status, rows int) {
	t.questions.Add(ctx, 1, metric.WithAttributes(attribute.String("operation", operation), attribute.Int("status", status)))
	t.rows.Add(ctx, int64(rows), metric.WithAttributes(attribute.String("operation", operation)))
}

func (t *telemetry) refuse(ctx context.Context, reason string) {
	t.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
}
