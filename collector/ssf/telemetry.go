package ssf

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds what only this source counts; events accepted are counted by the intake.
type telemetry struct {
	refused  metric.Int64Counter
	repeated metric.Int64Counter
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	var errs [2]error
	t := &telemetry{}
	t.refused, errs[0] = m.Int64Counter("custody.collector.ssf.sets.refused", metric.WithUnit("{set}"),
		metric.WithDescription("Security event tokens refused, by the error code of RFC 8935, or unavailable."))
	t.repeated, errs[1] = m.Int64Counter("custody.collector.ssf.sets.repeated", metric.WithUnit("{set}"),
		metric.WithDescription("Security event tokens that came again and were acknowledged only."))
	return t, errors.Join(errs[:]...)
}
