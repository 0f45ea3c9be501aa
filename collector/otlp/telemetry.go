package otlp

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/custody-audit/custody/collector"
)

// telemetry holds what only this source counts; events accepted are counted by the intake.
type telemetry struct {
	ignored  metric.Int64Counter
	rejected metric.Int64Counter
	refused  metric.Int64Counter
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	var errs [3]error
	tel := &telemetry{}
	tel.ignored, errs[0] = m.Int64Counter("custody.collector.otlp.records.ignored", metric.WithUnit("{record}"),
		metric.WithDescription("Log records and spans that state no identity fact."))
	tel.rejected, errs[1] = m.Int64Counter("custody.collector.otlp.records.rejected", metric.WithUnit("{record}"),
		metric.WithDescription("Log records and spans refused as malformed; the sender got them as partial success."))
	tel.refused, errs[2] = m.Int64Counter("custody.collector.otlp.requests.refused", metric.WithUnit("{request}"),
		metric.WithDescription("Exports refused whole, by status: unknown key, unreadable body, not durable now."))
	return tel, errors.Join(errs[:]...)
}

func (t *telemetry) source(src *collector.Source, s *signal) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("custody.tenant", src.Tenant), attribute.String("custody.source", src.ID), attribute.String("custody.signal", s.name))
}

func (t *telemetry) status(s *signal, code string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("custody.signal", s.name), attribute.String("rpc.response.status_code", code))
}
