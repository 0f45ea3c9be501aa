// Package outlet is how the native sources of the demo estate reach the
// collector: events go into a bounded queue and leave in compressed batches to
// POST /v1/events.
//
// Emit returns nil once the event is queued under its sequence number; a batch
// is repeated until the collector answers for it, so what was queued is either
// acknowledged or counted as rejected. What is still queued when Close's context
// ends is lost, and counted as dropped. Nothing is kept over a restart.
package outlet

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

	"github.com/custody-audit/custody/schemas/event"
)

// Config configures an Outlet.
type Config struct {
	// URL is the collector's address without a path; Key is the source's bearer key.
	URL, Key string
	// MaxBatch is the most events of one request; 0 is 256.
	MaxBatch int
	// Queue is how many events wait before Emit does; 0 is 4096.
	Queue int
	// Linger is how long a batch waits to fill; 0 is 50 ms.
	Linger time.Duration
	// HTTP sends the requests; nil is a client with a timeout of 10 s.
	HTTP *http.Client

	Logger *slog.Logger
}

// Stats count events from the start.
type Stats struct {
	// Emitted were queued. Acknowledged, Rejected and Dropped sum up to them at the end.
	Emitted, Acknowledged, Rejected, Dropped int64
	// Retried are requests that were repeated.
	Retried int64
}

// Outlet sends the events of one source. It is safe for concurrent use.
type Outlet struct {
	cfg     Config
	run     string // part of every event id: a new process numbers from 1 again
	encoder *zstd.Encoder
	queue   chan []byte   // closed after closing, when no Emit is under way
	closing chan struct{} // closed when no event is taken any more
	stopped chan struct{} // closed when the sender is gone
	sending context.Context
	giveUp  context.CancelFunc // ends sending

	order  sync.Mutex // held while an event waits, so that numbers enter the queue in order
	number int64      // last sequence number; guarded by order

	mu     sync.Mutex
	settle *sync.Cond // stats have changed
	stats  Stats      // guarded by mu
}

// New starts an Outlet; the caller owes a Close.
func New(cfg Config) (*Outlet, error) {
	if cfg.URL == "" || cfg.Key == "" || cfg.Logger == nil {
		return nil, errors.New("outlet: URL, Key and Logger are required")
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
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("outlet: %w", err)
	}
	o := &Outlet{
		cfg: cfg, run: rand.Text(), encoder: encoder,
		queue: make(chan []byte, cfg.Queue), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	o.settle = sync.NewCond(&o.mu)
	o.sending, o.giveUp = context.WithCancel(context.Background())
	go o.send()
	return o, nil
}

// ErrClosed is returned by Emit after Close.
var ErrClosed = errors.New("outlet is closed")

// Emit numbers the event and queues it, waiting while the queue is full. It
// keeps nothing of the event.
func (o *Outlet) Emit(ctx context.Context, e *event.Event) error {
	o.order.Lock()
	defer o.order.Unlock()
	e.Source.Sequence, e.Source.EventID = o.number+1, o.run+"-"+strconv.FormatInt(o.number+1, 10)
	if e.SchemaVersion == "" {
		e.SchemaVersion = event.SchemaVersion
	}
	b := e.Canonical()
	if len(b) > event.MaxBytes {
		return event.ErrTooLarge
	}
	if err := o.push(ctx, b); err != nil {
		return err
	}
	o.number++
	return nil
}

// push counts the event before the sender can see it, so that Flush misses none.
func (o *Outlet) push(ctx context.Context, b []byte) error {
	o.count(func(s *Stats) { s.Emitted++ })
	var err error
	select {
	case <-o.closing:
		err = ErrClosed
	default:
		select {
		case o.queue <- b:
			return nil
		case <-o.closing:
			err = ErrClosed
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	o.count(func(s *Stats) { s.Emitted-- })
	return err
}

// Skip uses up a sequence number, as an event does that is never sent.
func (o *Outlet) Skip() {
	o.order.Lock()
	defer o.order.Unlock()
	o.number++
}

func (o *Outlet) count(change func(*Stats)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.stats)
	o.settle.Broadcast()
}

// Stats returns the counts so far.
func (o *Outlet) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}

func (s Stats) settled() int64 { return s.Acknowledged + s.Rejected + s.Dropped }

// Flush waits until everything emitted so far is settled.
func (o *Outlet) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { o.count(func(*Stats) {}) }) // wakes the wait below
	defer stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for until := o.stats.Emitted; o.stats.settled() < until; o.settle.Wait() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%d events not acknowledged: %w", until-o.stats.settled(), err)
		}
	}
	return nil
}

// Close sends what is queued, for as long as ctx allows, and stops. It is called once.
func (o *Outlet) Close(ctx context.Context) error {
	close(o.closing)
	o.order.Lock() // nobody is in push from here on, nor will be
	close(o.queue)
	o.order.Unlock()
	stop := context.AfterFunc(ctx, o.giveUp)
	defer stop()
	<-o.stopped
	o.giveUp()
	if s := o.Stats(); s.Dropped > 0 {
		return fmt.Errorf("%d events dropped: %w", s.Dropped, context.Cause(ctx))
	}
	return nil
}
