package tail

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the instruments of a tail.
type telemetry struct {
	sent    metric.Int64Counter
	refused metric.Int64Counter
	skipped metric.Int64Counter
	retries metric.Int64Counter
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &telemetry{}
	var errs [4]error
	counter := func(name, unit, description string) (metric.Int64Counter, error) {
		return m.Int64Counter("custody.tail."+name, metric.WithUnit(unit), metric.WithDescription(description))
	}
	t.sent, errs[0] = counter("sent", "{line}", "Lines that the collector accepted.")
	t.refused, errs[1] = counter("refused", "{line}", "Lines that the collector refused as malformed.")
	t.skipped, errs[2] = counter("skipped", "{line}", "Lines left out because they are too long.")
	t.retries, errs[3] = counter("retries", "{request}", "Requests sent again because the collector did not take them.")
	return t, errors.Join(errs[:]...)
}
