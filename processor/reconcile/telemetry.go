package reconcile

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the reconciler's instruments.
type telemetry struct {
	records       metric.Int64Counter
	errors        metric.Int64Counter
	cycles        metric.Int64Counter
	discrepancies metric.Int64Counter
	duration      metric.Float64Gauge
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = metricnoop.Meter{}
	}
	t := &telemetry{}
	var errs []error
	counter := func(dst *metric.Int64Counter, name, unit, description string) {
		c, err := m.Int64Counter("custody.reconcile."+name, metric.WithUnit(unit), metric.WithDescription(description))
		*dst, errs = c, append(errs, err)
	}
	counter(&t.records, "records", "{record}", "Records read again and held against checkpoints.")
	counter(&t.errors, "errors", "{error}", "Cycles that failed; they are repeated.")
	counter(&t.cycles, "cycles", "{cycle}", "Cycles that came to their end, by scope: new, full.")
	counter(&t.discrepancies, "discrepancies", "{discrepancy}", "What was found to differ from what was sealed, by kind.")
	var err error
	t.duration, err = m.Float64Gauge("custody.reconcile.duration", metric.WithUnit("s"), metric.WithDescription("Time of the last cycle, by scope: how long an alteration may go unseen."))
	return t, errors.Join(append(errs, err)...)
}

func (t *telemetry) cycled(ctx context.Context, full bool, rep *Report) {
	scope := attribute.String("custody.scope", "new")
	if full {
		scope = attribute.String("custody.scope", "full")
	}
	t.cycles.Add(ctx, 1, metric.WithAttributes(scope))
	t.duration.Record(ctx, rep.Seconds, metric.WithAttributes(scope))
}

func (t *telemetry) found(ctx context.Context, d Discrepancy) {
	t.discrepancies.Add(ctx, 1, metric.WithAttributes(attribute.String("custody.kind", string(d.Kind))))
}
