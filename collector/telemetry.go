package collector

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// telemetry holds the instruments of the way in. Every way to lose, reject or
// delay an event has its own.
type telemetry struct {
	tracer      trace.Tracer
	accepted    metric.Int64Counter
	rejected    metric.Int64Counter
	unavailable metric.Int64Counter
	throttled   metric.Int64Counter
}

func newTelemetry(m metric.Meter, t trace.Tracer) (*telemetry, error) {
	if m == nil {
		m = metricnoop.Meter{}
	}
	if t == nil {
		t = tracenoop.Tracer{}
	}
	var errs [4]error
	tel := &telemetry{tracer: t}
	tel.accepted, errs[0] = m.Int64Counter("custody.collector.events.accepted", metric.WithUnit("{event}"),
		metric.WithDescription("Events that are durable and were acknowledged."))
	tel.rejected, errs[1] = m.Int64Counter("custody.collector.events.rejected", metric.WithUnit("{event}"),
		metric.WithDescription("Records refused, by reason: malformed, invalid, claim to be somebody else. The source was told which and why."))
	tel.unavailable, errs[2] = m.Int64Counter("custody.collector.events.unavailable", metric.WithUnit("{event}"),
		metric.WithDescription("Events that could not be made durable; the source was told to send them again."))
	tel.throttled, errs[3] = m.Int64Counter("custody.collector.events.throttled", metric.WithUnit("{event}"),
		metric.WithDescription("Events of a source over its quota; it was told to send them later."))
	return tel, errors.Join(errs[:]...)
}

func (t *telemetry) source(src *Source) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("custody.tenant", src.Tenant), attribute.String("custody.source", src.ID))
}
