package emitter

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// observe publishes Stats as metrics until unwatch is called.
func (m *Emitter) observe(meter metric.Meter) error {
	events, err := meter.Int64ObservableCounter("custody.emitter.events", metric.WithUnit("{event}"),
		metric.WithDescription("Events by what became of them: acknowledged by the collector, rejected by it, dropped at the end."))
	if err != nil {
		return err
	}
	retries, err := meter.Int64ObservableCounter("custody.emitter.retries", metric.WithUnit("{request}"),
		metric.WithDescription("Requests sent again because the collector did not take them."))
	if err != nil {
		return err
	}
	queued, err := meter.Int64ObservableGauge("custody.emitter.queued", metric.WithUnit("{event}"),
		metric.WithDescription("Events that wait for the collector."))
	if err != nil {
		return err
	}
	state := func(s string) metric.ObserveOption { return metric.WithAttributes(attribute.String("state", s)) }
	r, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := m.Stats()
		o.ObserveInt64(events, s.Acknowledged, state("acknowledged"))
		o.ObserveInt64(events, s.Rejected, state("rejected"))
		o.ObserveInt64(events, s.Dropped, state("dropped"))
		o.ObserveInt64(retries, s.Retried)
		o.ObserveInt64(queued, s.Emitted-s.settled())
		return nil
	}, events, retries, queued)
	if err != nil {
		return err
	}
	m.unwatch = func() { r.Unregister() } // fails never
	return nil
}
