package enrich

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/otel/metric"
)

// EngineConfig configures an Engine.
type EngineConfig struct {
	// ClickHouse is a connection whose database is migrated, as a user who may
	// read all of it and write the tables of the passes. Required.
	ClickHouse driver.Conn
	// Interval between two rounds of Run; 0 is 30 s. Up to a tenth of it is added
	// or taken at random, so that engines which started together drift apart.
	Interval time.Duration
	// Visible is how long after its stored time a record may still become visible,
	// which is how far each round reaches back; 0 is 90 s. It must be above the
	// processor's insert timeout, or a slow insert is never taken in, and at most
	// the constant [Visible].
	Visible time.Duration
	// Step is the most stored time that is taken in at once; 0 is 1 h. What is too
	// much for one query is repeated with half of it, down to a second.
	Step time.Duration
	// Passes are further ones, taken in after the engine's own.
	Passes []Pass
	// Only names the passes that work; nil is all.
	Only []string
	// Progress is told how far a pass has come, after each step; nil for nobody.
	Progress func(pass string, reached time.Time)

	Logger *slog.Logger
	Meter  metric.Meter
}

// Pass is one kind of fact that an engine computes.
type Pass struct {
	// Name keeps its progress and must stay.
	Name string
	// Take takes in what was stored from inclusive, to exclusive. It may be given
	// the same again.
	Take func(ctx context.Context, from, to time.Time) error
	// Rest is how long ago something must have been stored before Run gives it to
	// the pass, for one that would do the work again if more came; 0 is at once.
	Rest time.Duration
}

func (c *EngineConfig) setDefaults() error {
	if c.ClickHouse == nil || c.Logger == nil || c.Interval < 0 || c.Visible < 0 || c.Step < 0 {
		return errors.New("enrich: want ClickHouse, a Logger, and times of 0 or more")
	}
	if c.Progress == nil {
		c.Progress = func(string, time.Time) {}
	}
	def(&c.Interval, 30*time.Second)
	def(&c.Visible, 90*time.Second)
	def(&c.Step, time.Hour)
	if c.Visible > Visible {
		return fmt.Errorf("enrich: Visible of %s: want at most %s", c.Visible, Visible)
	}
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Engine computes what is known only later: it takes in what was stored since it
// last looked, in passes. Progress is saved after what was computed, so a kill
// leads to computing again and never to a gap. Two engines at work at the same
// time do the work twice and come to the same.
type Engine struct {
	cfg    EngineConfig
	passes []*pass
	tel    *telemetry

	mu sync.Mutex // held during a round
}

// pass is a Pass at work.
type pass struct {
	Pass
	step time.Duration // most stored time of the next take
}

// NewEngine returns an engine. It connects when it runs.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("enrich: %w", err)
	}
	l := &lineagePass{conn: cfg.ClickHouse, visible: cfg.Visible, tel: tel, logger: cfg.Logger}
	f := &firstSeenPass{conn: cfg.ClickHouse}
	e := &Engine{cfg: cfg, tel: tel}
	own := []Pass{{Name: "lineage", Take: l.take}, {Name: "first_seen", Take: f.take}, {Name: "first_audience", Take: f.takeAudiences}, Activity(cfg.ClickHouse), Rhythm(cfg.ClickHouse), Reach(cfg.ClickHouse)}
	for _, p := range append(own, cfg.Passes...) {
		if cfg.Only == nil || slices.Contains(cfg.Only, p.Name) {
			e.passes = append(e.passes, &pass{p, cfg.Step})
		}
	}
	return e, nil
}

// Run goes on in rounds until ctx is done. A round that meets an error is logged
// and the pass goes on where it stood.
func (e *Engine) Run(ctx context.Context) error {
	for {
		if err := e.round(ctx, true); err != nil && ctx.Err() == nil {
			e.cfg.Logger.Warn("later enrichment met errors and will be repeated", "error", err)
		}
		tenth := int64(e.cfg.Interval / 10)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(e.cfg.Interval + time.Duration(rand.Int64N(2*tenth+1)-tenth)):
		}
	}
}

// Passes are the names of the passes, in the order in which they work.
func (e *Engine) Passes() (names []string) {
	for _, p := range e.passes {
		names = append(names, p.Name)
	}
	return names
}

// Once takes in everything that is stored now, also what passes would let rest. It
// goes on to the next pass after an error and returns them all.
func (e *Engine) Once(ctx context.Context) error { return e.round(ctx, false) }

func (e *Engine) round(ctx context.Context, rested bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, err := serverTime(ctx, e.cfg.ClickHouse)
	if err != nil {
		return err
	}
	watermarks, err := e.progress(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range e.passes {
		until := now
		if rested && p.Rest > 0 {
			until = now.Add(-p.Rest).Truncate(time.Minute)
		}
		mark, err := e.catchUp(ctx, p, watermarks[p.Name], until)
		e.tel.reached(ctx, p.Name, now.Sub(mark))
		if err != nil {
			e.tel.failed(ctx, p.Name)
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
		if mark.After(watermarks[p.Name]) {
			errs = append(errs, save(ctx, e.cfg.ClickHouse, p.Name, mark, now))
		}
	}
	return errors.Join(errs...)
}
