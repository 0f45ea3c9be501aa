// Package reconcile finds out whether what ClickHouse holds is still what was
// sealed: it reads stored records again, computes their trees and holds these
// against the checkpoints that were signed, above all against those that lie
// outside ClickHouse.
//
// It stands beside the processor, and nothing waits for it. What it finds it
// writes to seal_discrepancies, from where a detection makes findings: rows that
// were edited, deleted without a signed record of it, inserted, duplicated or hidden, a backup that was
// restored, nodes and checkpoints that were changed. It names partition, offsets
// and kind; where the records of a group of 256 and everything beside them were
// changed consistently, it names the group.
//
// A full cycle reads every record. It guarantees that a record under a checkpoint
// of the folder is then what was signed, or is named. It does not see what an
// attacker changes behind it before the next cycle, and it believes the folder:
// who can take that back too is found by witnesses.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"
	"golang.org/x/time/rate"

	"github.com/custody-audit/custody/processor/seal"
)

// Config configures a Reconciler.
type Config struct {
	// ClickHouse is a connection whose database is migrated, as a user who may
	// read it and write seal_discrepancies. Required.
	ClickHouse driver.Conn
	// Ring says whose signatures count. Required.
	Ring *seal.Keyring
	// Folder of checkpoints outside ClickHouse; nil is none, and then who can
	// write to ClickHouse can go back to any earlier state unnoticed.
	Folder *seal.Folder
	// Witnesses are asked in full cycles what they have seen of the trees.
	Witnesses []Witness
	// Interval between two rounds over what is new, and the least between two full
	// cycles; 0 is 1 min.
	Interval time.Duration
	// RecordsPerSecond bounds the reading of full cycles, which so take a
	// second for as many records; 0 is 20,000. What is new is read at once.
	RecordsPerSecond int
	// Grace is how long records may be stored without a checkpoint that covers
	// them: while a processor is away, or another one takes over. 0 is 10 min.
	Grace time.Duration
	// ReadOnly finds and stores nothing of it, for who may only read.
	ReadOnly bool
	// Step is how many records one query reads, which bounds memory to about
	// 200 bytes for each; 0 is 65,536.
	Step int

	Logger *slog.Logger
	Meter  metric.Meter
}

// Witness is a party outside that remembers checkpoints.
type Witness interface {
	// Newest returns the newest checkpoint of an origin that it has seen, nil for
	// none. What the log did not sign is passed over, so it need not be trusted.
	Newest(ctx context.Context, origin string) ([]byte, error)
}

func (c *Config) setDefaults() error {
	if c.ClickHouse == nil || c.Ring == nil || c.Logger == nil {
		return errors.New("ClickHouse, Ring and Logger are required")
	}
	if c.Interval < 0 || c.RecordsPerSecond < 0 || c.Grace < 0 || c.Step < 0 {
		return errors.New("bounds and times must not be negative")
	}
	def(&c.Interval, time.Minute)
	def(&c.RecordsPerSecond, 20_000)
	def(&c.Grace, 10*time.Minute)
	def(&c.Step, 1<<16)
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Reconciler holds records against checkpoints.
type Reconciler struct {
	cfg    Config
	store  *store
	sealed *seal.Store
	tel    *telemetry

	mu       sync.Mutex
	verified map[seal.Tree]point           // how far each tree was found to be in order; guarded by mu
	largest  map[seal.Tree]seal.Checkpoint // ever seen; guarded by mu
	judged   map[uuid.UUID]bool            // whether a record of deletions counts; replaced and never changed; guarded by mu
}

// point is a place in a tree that was held against a checkpoint: the edge before
// the group of 256 that it lies in. Of a tree of which too much is gone to compute
// it, it is how far that was looked at.
type point struct {
	edge   seal.Edge
	size   uint64
	broken bool
}

// New returns a reconciler.
func New(cfg Config) (*Reconciler, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	return &Reconciler{cfg: cfg, store: &store{cfg.ClickHouse}, sealed: seal.NewStore(cfg.ClickHouse), tel: tel,
		verified: map[seal.Tree]point{}, largest: map[seal.Tree]seal.Checkpoint{}}, nil
}

// Report is what one cycle has done.
type Report struct {
	Trees         int           `json:"trees"`
	Records       uint64        `json:"records"`
	Seconds       float64       `json:"seconds"`
	Discrepancies []Discrepancy `json:"discrepancies"`
}

// Once runs one full cycle as fast as it can.
func (r *Reconciler) Once(ctx context.Context) (*Report, error) { return r.cycle(ctx, true, nil) }

// Run reconciles until ctx is done: what is new every interval, and beside it
// everything again and again. What fails is logged and tried again; it returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() { r.repeat(ctx, false, nil) })
	both.Go(func() {
		r.repeat(ctx, true, rate.NewLimiter(rate.Limit(r.cfg.RecordsPerSecond), max(r.cfg.RecordsPerSecond, r.cfg.Step)))
	})
	both.Wait()
	return nil
}

func (r *Reconciler) repeat(ctx context.Context, full bool, limit *rate.Limiter) {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		if _, err := r.cycle(ctx, full, limit); err != nil && ctx.Err() == nil {
			r.tel.errors.Add(ctx, 1)
			r.cfg.Logger.Warn("records were not reconciled and will be again", "full", full, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// cycle holds trees against their checkpoints, from the beginning or from where
// they were in order before, and stores what it finds.
func (r *Reconciler) cycle(ctx context.Context, full bool, limit *rate.Limiter) (*Report, error) {
	began := time.Now()
	trees, found, err := r.heads(ctx, full)
	if err != nil {
		return nil, err
	}
	deletions, err := r.deletions(ctx, full)
	if err != nil {
		return nil, err
	}
	rep := &Report{Trees: len(trees), Discrepancies: append(found, deletions...)}
	if !full {
		trees = r.resume(trees)
	}
	if err := r.pass(ctx, trees, limit, rep); err != nil {
		return nil, err
	}
	for _, c := range trees {
		if err := r.conclude(ctx, c); err != nil {
			return nil, err
		}
		rep.Discrepancies = append(rep.Discrepancies, c.found...)
	}
	if full {
		beside, err := r.beside(ctx, trees)
		if err != nil {
			return nil, err
		}
		rep.Discrepancies = append(rep.Discrepancies, beside...)
	}
	rep.Discrepancies = merge(rep.Discrepancies)
	rep.Seconds = time.Since(began).Seconds()
	r.tel.cycled(ctx, full, rep)
	if r.cfg.ReadOnly {
		return rep, nil
	}
	return rep, errors.Join(r.raise(ctx, rep.Discrepancies), r.store.ended(ctx, began, full, rep))
}

// resume begins where a tree was in order before, and leaves out what did not grow.
func (r *Reconciler) resume(trees []*cursor) []*cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	var grown []*cursor
	for _, c := range trees {
		p, ok := r.verified[c.tree]
		if ok && c.size() <= p.size {
			continue
		}
		if ok {
			c.begin(p)
		}
		grown = append(grown, c)
	}
	return grown
}
