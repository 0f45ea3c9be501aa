package seal

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the sealer's instruments.
type telemetry struct {
	checkpoints  metric.Int64Counter
	errors       metric.Int64Counter
	gaps         metric.Int64Counter
	cosignatures metric.Int64Counter
	missing      metric.Int64Counter
	unsealed     metric.Int64Gauge
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = metricnoop.Meter{}
	}
	tel := &telemetry{}
	var errs []error
	counter := func(dst *metric.Int64Counter, name, unit, description string) {
		c, err := m.Int64Counter("custody.seal."+name, metric.WithUnit(unit), metric.WithDescription(description))
		*dst, errs = c, append(errs, err)
	}
	counter(&tel.checkpoints, "checkpoints", "{checkpoint}", "Checkpoints signed, stored and published.")
	counter(&tel.errors, "errors", "{error}", "Rounds in which a tree could not be sealed; it is tried again.")
	counter(&tel.gaps, "gaps", "{gap}", "Gap records signed.")
	counter(&tel.cosignatures, "cosignatures", "{cosignature}", "Cosignatures received, by witness.")
	counter(&tel.missing, "cosignatures.missing", "{cosignature}", "Cosignatures that a witness did not give, by witness and why: away, refused, inconsistent.")
	var err error
	tel.unsealed, err = m.Int64Gauge("custody.seal.unsealed", metric.WithUnit("{record}"), metric.WithDescription("Records stored and not covered by a checkpoint yet."))
	return tel, errors.Join(append(errs, err)...)
}

func (t *telemetry) asked(ctx context.Context, witness string, err error) {
	name := attribute.String("custody.witness", witness)
	if err == nil {
		t.cosignatures.Add(ctx, 1, metric.WithAttributes(name))
		return
	}
	why := "away"
	switch {
	case errors.Is(err, ErrInconsistent):
		why = "inconsistent"
	case errors.Is(err, ErrRefused):
		why = "refused"
	}
	t.missing.Add(ctx, 1, metric.WithAttributes(name, attribute.String("custody.reason", why)))
}
