package enrich

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// loaderTelemetry holds the instruments of a Loader.
type loaderTelemetry struct {
	loads    metric.Int64Counter
	failures metric.Int64Counter
	entries  metric.Int64Gauge
}

func newLoaderTelemetry(m metric.Meter) (*loaderTelemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	loads, err1 := m.Int64Counter("custody.enrich.registry.loads", metric.WithUnit("{load}"), metric.WithDescription("Times that a registry with other contents was put in force."))
	failures, err2 := m.Int64Counter("custody.enrich.registry.errors", metric.WithUnit("{error}"), metric.WithDescription("Looks at the registry that ended with an error: mistakes in a file, or ClickHouse away. What was loaded before stays in force."))
	entries, err3 := m.Int64Gauge("custody.enrich.registry.entries", metric.WithUnit("{entry}"), metric.WithDescription("Principals, servers and tools of all tenants in force."))
	return &loaderTelemetry{loads, failures, entries}, errors.Join(err1, err2, err3)
}

func (t *loaderTelemetry) failed(ctx context.Context) { t.failures.Add(ctx, 1) }

func (t *loaderTelemetry) loaded(ctx context.Context, s *Snapshot) {
	n := 0
	for _, tenant := range s.Tenants() {
		r := s.Registry(tenant)
		n += len(r.Principals) + len(r.Servers) + len(r.Tools)
	}
	t.loads.Add(ctx, 1)
	t.entries.Record(ctx, int64(n))
}
