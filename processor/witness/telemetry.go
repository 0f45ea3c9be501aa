package witness

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the witness's instrument.
type telemetry struct{ requests metric.Int64Counter }

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = metricnoop.Meter{}
	}
	c, err := m.Int64Counter("custody.witness.requests", metric.WithUnit("{request}"), metric.WithDescription("Checkpoints to cosign, by status: 200 cosigned, 409 another size was seen last, 422 not consistent."))
	return &telemetry{c}, err
}

func (t *telemetry) answered(ctx context.Context, status int) {
	t.requests.Add(ctx, 1, metric.WithAttributes(attribute.Int("http.response.status_code", status)))
}
