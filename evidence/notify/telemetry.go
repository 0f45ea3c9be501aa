package notify

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the notifier's instruments; each is by outlet.
type telemetry struct {
	delivered   metric.Int64Counter
	failures    metric.Int64Counter
	undelivered metric.Int64Counter
	lag         metric.Float64Gauge
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &telemetry{}
	var errs []error
	counter := func(dst *metric.Int64Counter, name, unit, description string) {
		c, err := m.Int64Counter("custody.notify."+name, metric.WithUnit(unit), metric.WithDescription(description))
		*dst, errs = c, append(errs, err)
	}
	counter(&t.delivered, "delivered", "{message}", "Messages about findings that an outlet took.")
	counter(&t.failures, "failures", "{attempt}", "Attempts that ended with an error; they are repeated.")
	counter(&t.undelivered, "undelivered", "{message}", "Messages that were given up and are dead letters.")
	var err error
	t.lag, err = m.Float64Gauge("custody.notify.lag", metric.WithUnit("s"), metric.WithDescription("Age of the oldest change that an outlet was not told yet."))
	return t, errors.Join(append(errs, err)...)
}

func of(outlet string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("custody.outlet", outlet))
}

func (t *telemetry) told(ctx context.Context, outlet string, n int) {
	t.delivered.Add(ctx, int64(n), of(outlet))
}

func (t *telemetry) failed(ctx context.Context, outlet string) { t.failures.Add(ctx, 1, of(outlet)) }
func (t *telemetry) gaveUp(ctx context.Context, outlet string) {
	t.undelivered.Add(ctx, 1, of(outlet))
}

func (t *telemetry) waiting(ctx context.Context, outlet string, age time.Duration) {
	t.lag.Record(ctx, max(age.Seconds(), 0), of(outlet))
}
