package emitter_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/custody-audit/custody/collector/emitter"
	"github.com/custody-audit/custody/schemas/event"
)

// collector answers as told and keeps what it acknowledged.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	events []*event.Event                                  // guarded by mu
	answer func(request int, n int) (status int, body any) // guarded by mu
	asked  int                                             // guarded by mu
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{answer: func(_, n int) (int, any) { return 200, map[string]any{"accepted": n, "rejected": []int{}} }}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		z, err := zstd.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		defer z.Close()
		var events []*event.Event
		for lines := bufio.NewScanner(z); lines.Scan(); {
			e, err := event.Decode(lines.Bytes())
			if err != nil {
				t.Error(err)
				return
			}
			events = append(events, e)
		}
		c.asked++
		status, body := c.answer(c.asked, len(events))
		if status == 200 {
			c.events = append(c.events, events...)
		}
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) emitter(t *testing.T, change func(*emitter.Config)) *emitter.Emitter {
	t.Helper()
	cfg := emitter.Config{URL: c.URL, Key: "cst_test", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	o, err := emitter.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func emit(t *testing.T, o *emitter.Emitter, n int) {
	t.Helper()
	for range n {
		if err := o.Emit(t.Context(), &event.Event{Kind: event.Session}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryEventOnceInOrder(t *testing.T) {
	c := newCollector(t)
	c.answer = func(request, n int) (int, any) {
		if request%2 == 1 {
			return 503, map[string]string{"error": "later"}
		}
		return 200, map[string]any{"accepted": n}
	}
	o := c.emitter(t, func(cfg *emitter.Config) { cfg.MaxBatch, cfg.Queue = 7, 10 })
	emit(t, o, 30)
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for i, e := range c.events {
		if e.Source.Sequence != int64(i+1) {
			t.Fatalf("event %d has number %d", i, e.Source.Sequence)
		}
		ids[e.Source.EventID] = true
	}
	if len(c.events) != 30 || len(ids) != 30 {
		t.Errorf("%d events with %d ids, want 30", len(c.events), len(ids))
	}
	if s := o.Stats(); s.Acknowledged != 30 || s.Emitted != 30 || s.Retried == 0 || s.Rejected+s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestRejectedEventsAreCounted(t *testing.T) {
	c := newCollector(t)
	c.answer = func(_, n int) (int, any) {
		return 400, map[string]any{"accepted": 0, "rejected": []map[string]int{{"index": 0}}}
	}
	o := c.emitter(t, func(cfg *emitter.Config) { cfg.MaxBatch = 1 })
	emit(t, o, 2)
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(emitter.Stats{Emitted: 2, Rejected: 2}, o.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWrongKeyIsNotRepeated(t *testing.T) {
	c := newCollector(t)
	c.answer = func(_, _ int) (int, any) { return 401, map[string]string{"error": "no such key"} }
	o := c.emitter(t, nil)
	emit(t, o, 3)
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := o.Stats(); s.Rejected != 3 || s.Retried != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestCloseSaysWhatIsLost(t *testing.T) {
	c := newCollector(t)
	c.answer = func(_, _ int) (int, any) { return 503, nil }
	o := c.emitter(t, func(cfg *emitter.Config) { cfg.MaxBatch = 2 })
	emit(t, o, 5)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := o.Close(ctx); err == nil {
		t.Error("nothing was delivered, and Close does not mind")
	}
	if s := o.Stats(); s.Dropped != 5 || s.Acknowledged != 0 {
		t.Errorf("stats %+v", s)
	}
	if err := o.Emit(t.Context(), &event.Event{}); err != emitter.ErrClosed {
		t.Errorf("emit after close: %v", err)
	}
}

// A full queue makes Emit wait and not forget, and its context ends the wait.
func TestFullQueue(t *testing.T) {
	c := newCollector(t)
	c.answer = func(_, _ int) (int, any) { return 503, nil }
	o := c.emitter(t, func(cfg *emitter.Config) { cfg.MaxBatch, cfg.Queue = 1, 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var taken int64
	var err error
	for err == nil {
		if err = o.Emit(ctx, &event.Event{Kind: event.Session}); err == nil {
			taken++
		}
	}
	if err != context.DeadlineExceeded || taken == 0 || taken > 3 {
		t.Errorf("took %d events, then %v", taken, err)
	}
	c.mu.Lock()
	c.answer = func(_, n int) (int, any) { return 200, map[string]any{"accepted": n} }
	c.mu.Unlock()
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := o.Stats(); s.Emitted != taken || s.Acknowledged != taken {
		t.Errorf("stats %+v, %d taken", s, taken)
	}
}

func TestSkippedNumberLeavesAGap(t *testing.T) {
	c := newCollector(t)
	o := c.emitter(t, nil)
	emit(t, o, 1)
	o.Skip()
	emit(t, o, 1)
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.events[0].Source.Sequence != 1 || c.events[1].Source.Sequence != 3 {
		t.Errorf("numbers %d, %d", c.events[0].Source.Sequence, c.events[1].Source.Sequence)
	}
}

func TestMetrics(t *testing.T) {
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	c := newCollector(t)
	o := c.emitter(t, func(cfg *emitter.Config) { cfg.Meter = provider.Meter("test") })
	emit(t, o, 3)
	if err := o.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	values := map[string]int64{}
	for _, m := range got.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				state, _ := p.Attributes.Value("state")
				values[m.Name+" "+state.AsString()] = p.Value
			}
		case metricdata.Gauge[int64]:
			values[m.Name] = data.DataPoints[0].Value
		}
	}
	want := map[string]int64{
		"custody.emitter.events acknowledged": 3, "custody.emitter.events rejected": 0, "custody.emitter.events dropped": 0,
		"custody.emitter.retries ": 0, "custody.emitter.queued": 0,
	}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if err := o.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
