package keycloak

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the instruments of a poller.
type telemetry struct {
	delivered metric.Int64Counter
	skipped   metric.Int64Counter
	failed    metric.Int64Counter
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &telemetry{}
	var errs [3]error
	counter := func(name, unit, description string) (metric.Int64Counter, error) {
		return m.Int64Counter("custody.keycloak."+name, metric.WithUnit(unit), metric.WithDescription(description))
	}
	t.delivered, errs[0] = counter("delivered", "{event}", "Events read from the admin REST API that are durable.")
	t.skipped, errs[1] = counter("skipped", "{event}", "Events read again in the overlap of two looks.")
	t.failed, errs[2] = counter("failed", "{look}", "Looks that ended early because Keycloak did not answer or the events were not taken.")
	return t, errors.Join(errs[:]...)
}
