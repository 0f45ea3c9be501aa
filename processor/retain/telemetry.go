package retain

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// telemetry holds the retainer's instruments.
type telemetry struct {
	deleted  metric.Int64Counter
	errors   metric.Int64Counter
	held     metric.Int64Gauge
	duration metric.Float64Gauge
}

func newTelemetry(m metric.Meter) (*telemetry, error) {
	if m == nil {
		m = metricnoop.Meter{}
	}
	t := &telemetry{}
	var errs [4]error
	t.deleted, errs[0] = m.Int64Counter("custody.retain.deleted", metric.WithUnit("{record}"), metric.WithDescription("Records that were deleted because their time was over."))
	t.errors, errs[1] = m.Int64Counter("custody.retain.errors", metric.WithUnit("{error}"), metric.WithDescription("Passes that failed; they are repeated."))
	t.held, errs[2] = m.Int64Gauge("custody.retain.held", metric.WithUnit("{record}"), metric.WithDescription("Records whose time is over and that holds keep, at the last pass."))
	t.duration, errs[3] = m.Float64Gauge("custody.retain.duration", metric.WithUnit("s"), metric.WithDescription("Time of the last pass."))
	return t, errors.Join(errs[:]...)
}

func (t *telemetry) passed(ctx context.Context, rep *Report, took time.Duration) {
	t.deleted.Add(ctx, int64(rep.Deleted))
	t.held.Record(ctx, int64(rep.Held))
	t.duration.Record(ctx, took.Seconds())
}
