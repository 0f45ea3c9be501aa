package lease

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the lease's instrument.
type telemetry struct {
	held metric.Int64Gauge
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	held, err := m.Int64Gauge("custody.lease.held", metric.WithUnit("1"), metric.WithDescription("1 of the process that holds the lease and works, 0 of those that stand by."))
	return &telemetry{held}, err
}

func (t *telemetry) holds(ctx context.Context, group string, is bool) {
	n := int64(0)
	if is {
		n = 1
	}
	t.held.Record(ctx, n, metric.WithAttributes(attribute.String("messaging.consumer.group.name", group)))
}
