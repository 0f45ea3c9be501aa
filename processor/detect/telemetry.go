package detect

import (
	"context"
	"errors"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the engine's instruments; each is by rule.
type telemetry struct {
	findings metric.Int64Counter
	errors   metric.Int64Counter
	smaller  metric.Int64Counter
	rows     metric.Int64Counter
	behind   metric.Float64Gauge
	duration metric.Float64Histogram
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	t := &telemetry{}
	var errs []error
	counter := func(dst *metric.Int64Counter, name, unit, description string) {
		c, err := m.Int64Counter("custody.detect."+name, metric.WithUnit(unit), metric.WithDescription(description))
		*dst, errs = c, append(errs, err)
	}
	counter(&t.findings, "findings", "{finding}", "Findings that changed, by change: opened, updated, reopened, auto_resolved.")
	counter(&t.errors, "errors", "{error}", "Rounds in which a rule met an error, by reason: limit, other. It goes on where it stood.")
	counter(&t.smaller, "windows.narrowed", "{window}", "Queries that met a limit and were repeated with half of the stored time.")
	counter(&t.rows, "rows.read", "{row}", "Rows that ClickHouse read for a rule.")
	var err error
	t.behind, err = m.Float64Gauge("custody.detect.lag", metric.WithUnit("s"), metric.WithDescription("Stored time that a rule has not judged yet, its delay included."))
	errs = append(errs, err)
	t.duration, err = m.Float64Histogram("custody.detect.query.duration", metric.WithUnit("s"), metric.WithDescription("Time of one query of a rule."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	return t, errors.Join(append(errs, err)...)
}

func ruleAttribute(id string) attribute.KeyValue { return attribute.String("custody.rule", id) }

func (t *telemetry) asked(ctx context.Context, rule string, took time.Duration) {
	t.duration.Record(ctx, took.Seconds(), metric.WithAttributes(ruleAttribute(rule)))
}

func (t *telemetry) narrowed(ctx context.Context, rule string) {
	t.smaller.Add(ctx, 1, metric.WithAttributes(ruleAttribute(rule)))
}

func (t *telemetry) failed(ctx context.Context, rule string, err error) {
	reason := "other"
	if exceeded(err) {
		reason = "limit"
	}
	t.errors.Add(ctx, 1, metric.WithAttributes(ruleAttribute(rule), attribute.String("custody.reason", reason)))
}

func (t *telemetry) round(ctx context.Context, rule string, lag time.Duration, r Result) {
	t.behind.Record(ctx, max(lag.Seconds(), 0), metric.WithAttributes(ruleAttribute(rule)))
	for change, n := range map[string]int{"opened": r.Opened, "updated": r.Updated, "reopened": r.Reopened, "auto_resolved": r.AutoResolved} {
		if n > 0 {
			t.findings.Add(ctx, int64(n), metric.WithAttributes(ruleAttribute(rule), attribute.String("custody.change", change)))
		}
	}
}

// reading counts what ClickHouse reads for a query.
func (t *telemetry) reading(ctx context.Context, rule string) clickhouse.QueryOption {
	attributes := metric.WithAttributes(ruleAttribute(rule))
	return clickhouse.WithProgress(func(p *clickhouse.Progress) { t.rows.Add(ctx, int64(p.Rows), attributes) })
}
