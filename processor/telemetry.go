package processor

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/custody-audit/custody/schemas/table"
)

// telemetry holds the processor's instruments.
type telemetry struct {
	tracer    trace.Tracer
	records   metric.Int64Counter
	errors    metric.Int64Counter
	recovered metric.Int64Counter
	gaps      metric.Int64Counter
	lost      metric.Int64Counter
	behind    metric.Int64Gauge
	size      metric.Int64Histogram
	intent    metric.Float64Histogram
	duration  metric.Float64Histogram
	delay     metric.Float64Histogram
}

func newTelemetry(m metric.Meter, t trace.Tracer) (*telemetry, error) {
	if m == nil {
		m = metricnoop.Meter{}
	}
	if t == nil {
		t = tracenoop.Tracer{}
	}
	tel := &telemetry{tracer: t}
	var errs []error
	counter := func(dst *metric.Int64Counter, name, unit, description string) {
		c, err := m.Int64Counter("custody.processor."+name, metric.WithUnit(unit), metric.WithDescription(description))
		*dst, errs = c, append(errs, err)
	}
	histogram := func(dst *metric.Float64Histogram, name, description string, bounds ...float64) {
		h, err := m.Float64Histogram("custody.processor."+name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		*dst, errs = h, append(errs, err)
	}
	counter(&tel.records, "records", "{record}", "Records stored, by state: stored, duplicate, conflict, malformed.")
	counter(&tel.errors, "errors", "{error}", "Interruptions after which a partition began again at its committed offset.")
	counter(&tel.recovered, "blocks.recovered", "{block}", "Blocks with an unknown outcome that were checked and completed.")
	counter(&tel.gaps, "log.gaps", "{gap}", "Times that the next offset was not in the log any more.")
	counter(&tel.lost, "log.lost", "{record}", "Records that left the log before they were read.")
	histogram(&tel.intent, "intent.duration", "Time of one commit of an intent to Kafka.", .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5)
	histogram(&tel.duration, "insert.duration", "Time of one insert.", .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30)
	histogram(&tel.delay, "delay", "Time from the collector's receipt to the store, of the oldest event of a block.", .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
	var err error
	tel.behind, err = m.Int64Gauge("custody.processor.lag", metric.WithUnit("{record}"), metric.WithDescription("Records in the log that are not read yet."))
	errs = append(errs, err)
	tel.size, err = m.Int64Histogram("custody.processor.block.records", metric.WithUnit("{record}"), metric.WithDescription("Records in one block."),
		metric.WithExplicitBucketBoundaries(1, 10, 100, 1000, 10_000, 100_000))
	return tel, errors.Join(append(errs, err)...)
}

func (w *worker) attributes() metric.MeasurementOption {
	return metric.WithAttributes(attribute.Int("custody.partition", w.partition))
}

func (t *telemetry) lag(ctx context.Context, n int64, o metric.MeasurementOption) {
	t.behind.Record(ctx, max(n, 0), o)
}

// block starts the span of a block, linked to the traces of its first events.
func (t *telemetry) block(ctx context.Context, b *block) (context.Context, trace.Span) {
	links := make([]trace.Link, 0, len(b.links))
	for _, c := range b.links {
		id, err1 := trace.TraceIDFromHex(c.TraceID)
		span, err2 := trace.SpanIDFromHex(c.SpanID)
		if err1 == nil && err2 == nil {
			links = append(links, trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, Remote: true})})
		}
	}
	return t.tracer.Start(ctx, "processor.block", trace.WithLinks(links...), trace.WithAttributes(
		attribute.Int("custody.partition", b.partition), attribute.Int64("custody.offset.start", b.start), attribute.Int64("custody.offset.end", b.end())))
}

func (t *telemetry) inserted(ctx context.Context, b *block, took time.Duration, o metric.MeasurementOption) {
	for _, state := range []table.State{table.Stored, table.Duplicate, table.Conflict, table.Malformed} {
		if n := b.rows.Count(state); n > 0 {
			t.records.Add(ctx, int64(n), metric.WithAttributes(attribute.Int("custody.partition", b.partition), attribute.String("custody.state", state.String())))
		}
	}
	t.size.Record(ctx, int64(b.rows.Rows()), o)
	t.duration.Record(ctx, took.Seconds(), o)
	if b.oldest != 0 {
		t.delay.Record(ctx, time.Since(b.oldest.Go()).Seconds(), o)
	}
}
