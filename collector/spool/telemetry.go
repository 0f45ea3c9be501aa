package spool

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the instruments of the spool.
type telemetry struct {
	kept     metric.Int64Counter
	replayed metric.Int64Counter
	full     metric.Int64Counter
	damaged  metric.Int64Counter
	bytes    metric.Int64Gauge
	limit    metric.Int64Gauge
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &telemetry{}
	var errs [6]error
	counter := func(name, unit, description string) (metric.Int64Counter, error) {
		return m.Int64Counter("custody.collector.spool."+name, metric.WithUnit(unit), metric.WithDescription(description))
	}
	t.kept, errs[0] = counter("kept", "{event}", "Events written to the spool because Kafka was away.")
	t.replayed, errs[1] = counter("replayed", "{event}", "Events of the spool that Kafka has by now.")
	t.full, errs[2] = counter("refused", "{event}", "Events refused because the spool was full.")
	t.damaged, errs[3] = counter("damaged", "{event}", "Frames that could not be read back: acknowledged events that are lost.")
	t.bytes, errs[4] = m.Int64Gauge("custody.collector.spool.size", metric.WithUnit("By"), metric.WithDescription("Bytes in the spool."))
	t.limit, errs[5] = m.Int64Gauge("custody.collector.spool.limit", metric.WithUnit("By"), metric.WithDescription("Bytes that the spool may hold."))
	return t, errors.Join(errs[:]...)
}
