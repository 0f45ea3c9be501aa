// Package emitter sends a process's own events to a collector: they go into a
// bounded queue and leave in compressed batches to POST /v1/events.
//
// Emit returns nil once the event is queued under its sequence number; a batch
// is repeated until the collector answers for it, so what was queued is either
// acknowledged or counted as rejected. What is still queued when Close's context
// ends is lost, and counted as dropped. Nothing is kept over a restart, but the
// numbers show what is missing: a new process numbers from 1 under a new run id.
package emitter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/custody-audit/custody/schemas/event"
)

// Config configures an Emitter.
type Config struct {
	// URL is the collector's address without a path, for example
	// "https://custody.example:4319". Key is the source's bearer key, as "custody
	// source add" printed it. Required.
	URL, Key string
	// MaxBatch is the most events of one request; 0 is 256.
	MaxBatch int
	// Queue is how many events wait before Emit does; 0 is 4096.
	Queue int
	// Linger is how long a batch waits to fill; 0 is 50 ms.
	Linger time.Duration
	// HTTP sends the requests; nil is a client with a timeout of 10 s.
	HTTP *http.Client

	// Logger hears of what the collector refuses. Required.
	Logger *slog.Logger
	// Meter makes the metrics custody.emitter.*; nil makes none.
	Meter metric.Meter
}

// Stats count events from the start.
type Stats struct {
	// Emitted were queued. Acknowledged, Rejected and Dropped sum up to them at the end.
	Emitted, Acknowledged, Rejected, Dropped int64
	// Retried are requests that were repeated.
	Retried int64
}

// Emitter sends the events of one source. It is safe for concurrent use.
type Emitter struct {
	cfg     Config
	run     string // part of every event id: a new process numbers from 1 again
	encoder *zstd.Encoder
	queue   chan []byte   // closed after closing, when no Emit is under way
	closing chan struct{} // closed when no event is taken any more
	stopped chan struct{} // closed when the sender is gone
	unwatch func()        // ends the metrics
	sending context.Context
	giveUp  context.CancelFunc // ends sending

	order  sync.Mutex // held while an event waits, so that numbers enter the queue in order
	number int64      // last sequence number; guarded by order

	mu     sync.Mutex
	settle *sync.Cond // stats have changed
	stats  Stats      // guarded by mu
}

// New starts an Emitter; the caller owes a Close.
func New(cfg Config) (*Emitter, error) {
	if cfg.URL == "" || cfg.Key == "" || cfg.Logger == nil {
		return nil, errors.New("emitter: URL, Key and Logger are required")
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 256
	}
	if cfg.Queue == 0 {
		cfg.Queue = 4096
	}
	if cfg.Linger == 0 {
		cfg.Linger = 50 * time.Millisecond
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{Timeout: 10 * time.Second}
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	if cfg.Meter == nil {
		cfg.Meter = noop.Meter{}
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	m := &Emitter{
		cfg: cfg, run: rand.Text(), encoder: encoder,
		queue: make(chan []byte, cfg.Queue), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	m.settle = sync.NewCond(&m.mu)
	m.sending, m.giveUp = context.WithCancel(context.Background())
	if err := m.observe(cfg.Meter); err != nil {
		return nil, fmt.Errorf("emitter: %w", err)
	}
	go m.send()
	return m, nil
}

// ErrClosed is returned by Emit after Close.
var ErrClosed = errors.New("the emitter is closed")

// Emit numbers the event and queues it, waiting while the queue is full. It fits
// the event into its bounds first ([event.Event.Fit]) and keeps nothing of it.
func (m *Emitter) Emit(ctx context.Context, e *event.Event) error {
	m.order.Lock()
	defer m.order.Unlock()
	e.Fit()
	e.Source.Sequence, e.Source.EventID = m.number+1, m.run+"-"+strconv.FormatInt(m.number+1, 10)
	if e.SchemaVersion == "" {
		e.SchemaVersion = event.SchemaVersion
	}
	b := e.Canonical()
	if len(b) > event.MaxBytes {
		return event.ErrTooLarge
	}
	if err := m.push(ctx, b); err != nil {
		return err
	}
	m.number++
	return nil
}

// push counts the event before the sender can see it, so that Flush misses none.
func (m *Emitter) push(ctx context.Context, b []byte) error {
	m.count(func(s *Stats) { s.Emitted++ })
	var err error
	select {
	case <-m.closing:
		err = ErrClosed
	default:
		select {
		case m.queue <- b:
			return nil
		case <-m.closing:
			err = ErrClosed
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	m.count(func(s *Stats) { s.Emitted-- })
	return err
}

// Skip uses up a sequence number, as an event does that is never sent.
func (m *Emitter) Skip() {
	m.order.Lock()
	defer m.order.Unlock()
	m.number++
}

func (m *Emitter) count(change func(*Stats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.stats)
	m.settle.Broadcast()
}

// Stats returns the counts so far.
func (m *Emitter) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

func (s Stats) settled() int64 { return s.Acknowledged + s.Rejected + s.Dropped }

// Flush waits until everything emitted so far is settled.
func (m *Emitter) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { m.count(func(*Stats) {}) }) // wakes the wait below
	defer stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for until := m.stats.Emitted; m.stats.settled() < until; m.settle.Wait() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%d events not acknowledged: %w", until-m.stats.settled(), err)
		}
	}
	return nil
}

// Close sends what is queued, for as long as ctx allows, and stops. It is called once.
func (m *Emitter) Close(ctx context.Context) error {
	close(m.closing)
	m.order.Lock() // nobody is in push from here on, nor will be
	close(m.queue)
	m.order.Unlock()
	stop := context.AfterFunc(ctx, m.giveUp)
	defer stop()
	<-m.stopped
	m.giveUp()
	m.unwatch()
	if s := m.Stats(); s.Dropped > 0 {
		return fmt.Errorf("%d events dropped: %w", s.Dropped, context.Cause(ctx))
	}
	return nil
}
