package enrich

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
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

// telemetry holds the instruments of an Engine; each is by pass.
type telemetry struct {
	errors   metric.Int64Counter
	tokens   metric.Int64Counter
	cut      metric.Int64Counter
	behind   metric.Float64Gauge
	duration metric.Float64Histogram
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	failures, err1 := m.Int64Counter("custody.enrich.errors", metric.WithUnit("{error}"), metric.WithDescription("Rounds in which a later pass met an error. It goes on where it stood."))
	tokens, err2 := m.Int64Counter("custody.enrich.lineage.tokens", metric.WithUnit("{token}"), metric.WithDescription("Lineages of tokens written, new ones and changed ones."))
	cut, err5 := m.Int64Counter("custody.enrich.lineage.cut", metric.WithUnit("{step}"), metric.WithDescription("Steps in which more tokens descend from a changed one than are computed again."))
	behind, err3 := m.Float64Gauge("custody.enrich.lag", metric.WithUnit("s"), metric.WithDescription("Stored time that a later pass has not taken in yet."))
	duration, err4 := m.Float64Histogram("custody.enrich.duration", metric.WithUnit("s"), metric.WithDescription("Time of one step of a later pass."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
	return &telemetry{failures, tokens, cut, behind, duration}, errors.Join(err1, err2, err3, err4, err5)
}

func passAttribute(name string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("custody.pass", name))
}

func (t *telemetry) failed(ctx context.Context, pass string) {
	t.errors.Add(ctx, 1, passAttribute(pass))
}

func (t *telemetry) reached(ctx context.Context, pass string, lag time.Duration) {
	t.behind.Record(ctx, max(lag.Seconds(), 0), passAttribute(pass))
}

func (t *telemetry) took(ctx context.Context, pass string, d time.Duration) {
	t.duration.Record(ctx, d.Seconds(), passAttribute(pass))
}
