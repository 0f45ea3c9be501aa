package verdict

import (
	"context"
	"errors"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the instruments of a Pass; custody.enrich has its lag, its
// duration and its errors.
type telemetry struct {
	judged  metric.Int64Counter
	changed metric.Int64Counter
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = noop.Meter{}
	}
	judged, err1 := m.Int64Counter("custody.verdict.judged", metric.WithUnit("{call}"), metric.WithDescription("Tool calls that were judged, again too: those that came, and those that what came belongs to."))
	changed, err2 := m.Int64Counter("custody.verdict.changed", metric.WithUnit("{call}"), metric.WithDescription("Verdicts written: new ones, and those that came out differently."))
	return &telemetry{judged, changed}, errors.Join(err1, err2)
}

// writing counts the rows that a statement writes.
func (t *telemetry) writing(ctx context.Context) clickhouse.QueryOption {
	return clickhouse.WithProgress(func(p *clickhouse.Progress) { t.changed.Add(ctx, int64(p.WroteRows)) })
}
