// Package detect judges what is stored: it runs rules over ClickHouse and keeps
// what they find as findings.
//
// It stands behind the processor's store and reads what that wrote; nothing in
// the way of an event waits for it. A rule is a pair of files under rules: what
// it means and how to respond in YAML, and beside it the query in SQL. An
// [Engine] gives each rule the records by the time that they were stored, and
// the rule looks at whatever else it needs: so an event that comes late is
// judged when it comes, together with those it belongs to.
//
// It guarantees that a finding exists once, whoever finds it and however often:
// its key is made of tenant, rule and what the finding is about, and only a
// state that differs from the stored one is written. Progress is saved after the
// findings, so a kill leads to judging again and never to a gap. Rules never
// join events of two tenants. That two engines do not do the work twice at the
// same time is what a lease is for (processor/lease).
package detect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/processor/parts"
)

// Config configures an Engine.
type Config struct {
	// ClickHouse is a connection whose database is migrated, as a user with
	// the role custody_detector (table.Grants). Required.
	ClickHouse driver.Conn
	// Sessions are connections of the same user, one for each question: what
	// clickhouse.OpenDB returns. Required.
	Sessions *sql.DB
	// Rules to run; nil is [Builtin].
	Rules []*Rule
	// Parameters override defaults, by rule and name.
	Parameters map[string]map[string]any
	// Interval between two rounds of Run; 0 is 30 s. Up to a tenth of it is added
	// or taken at random, so that engines which started together drift apart.
	Interval time.Duration
	// Prompt is the interval between two looks of Run for rules that are prompt; 0 is 2 s.
	Prompt time.Duration
	// Visible is how long after its stored time a record may still become visible,
	// which is how far each look reaches back; 0 is 90 s. It must be above the
	// processor's insert timeout, or a slow insert is never judged.
	Visible time.Duration
	// Step is the most stored time that one query judges; 0 is 1 h. A query that
	// meets a limit is repeated with half of it, down to MinStep.
	Step time.Duration
	// Limits of one query.
	Limits Limits
	// Fence is asked before anything is stored, and after an error of it nothing is:
	// that of a lease. Nil for an engine that is alone.
	Fence func(context.Context) error
	// Progress is told how far a rule has judged, after each query; nil for nobody.
	Progress func(rule string, reached time.Time)

	Logger *slog.Logger
	Meter  metric.Meter
}

// MinStep is where a rule gives up making its window smaller.
const MinStep = time.Second

func (c *Config) setDefaults() error {
	var errs []error
	if c.ClickHouse == nil || c.Sessions == nil || c.Logger == nil {
		errs = append(errs, errors.New("ClickHouse, Sessions and Logger are required"))
	}
	if c.Interval < 0 || c.Prompt < 0 || c.Visible < 0 || c.Step < 0 {
		errs = append(errs, errors.New("times must not be negative"))
	}
	if c.Fence == nil {
		c.Fence = func(context.Context) error { return nil }
	}
	if c.Progress == nil {
		c.Progress = func(string, time.Time) {}
	}
	def(&c.Interval, 30*time.Second)
	def(&c.Prompt, 2*time.Second)
	def(&c.Visible, 90*time.Second)
	def(&c.Step, time.Hour)
	c.Limits.setDefaults()
	if c.Rules == nil {
		rules, err := Builtin()
		c.Rules, errs = rules, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detect: %w", err)
	}
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Engine runs the rules. One round runs at a time.
type Engine struct {
	cfg   Config
	rules []*task
	store store
	sight sight
	tel   *telemetry

	mu sync.Mutex // held during a round
}

// New returns an engine. It connects when it runs.
func New(cfg Config) (*Engine, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("detect: %w", err)
	}
	e := &Engine{cfg: cfg, tel: tel, store: store{cfg.ClickHouse, cfg.Limits, cfg.Fence}}
	for _, r := range cfg.Rules {
		p, err := r.parameters(cfg.Parameters[r.ID])
		if err != nil {
			return nil, fmt.Errorf("detect: %w", err)
		}
		q, err := parts.Parse(r.SQL)
		if err != nil {
			return nil, fmt.Errorf("detect: rule %s: %w", r.ID, err)
		}
		e.rules = append(e.rules, &task{Rule: r, parameters: p, question: q, step: cfg.Step})
	}
	return e, unknown(cfg.Parameters, cfg.Rules)
}

// Run judges in rounds until ctx is done. A round that meets an error is logged
// and the rule goes on where it stood; Run itself returns nil.
func (e *Engine) Run(ctx context.Context) error {
	e.forget()
	var next time.Time // round of all rules
	for {
		var err error
		if time.Now().Before(next) {
			err = e.prompt(ctx)
		} else {
			_, err = e.round(ctx, true)
			next = time.Now().Add(e.pause())
		}
		if err != nil && ctx.Err() == nil {
			e.cfg.Logger.Warn("detections met errors and will be repeated", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(e.cfg.Prompt, max(time.Until(next), 0))):
		}
	}
}

// pause is the interval with up to a tenth of it more or less.
func (e *Engine) pause() time.Duration {
	tenth := int64(e.cfg.Interval / 10)
	return e.cfg.Interval + time.Duration(rand.Int64N(2*tenth+1)-tenth)
}

// Once judges everything that is stored now and waits for nothing that may
// still come: rules that give other events time to arrive do not. It goes on to
// the next rule after an error and returns them all.
func (e *Engine) Once(ctx context.Context) (Result, error) { return e.round(ctx, false) }

// Result counts what a round changed.
type Result struct {
	Opened       int `json:"opened"`
	Updated      int `json:"updated"`
	Reopened     int `json:"reopened"`
	AutoResolved int `json:"auto_resolved"`
}

func (r *Result) add(o Result) {
	r.Opened += o.Opened
	r.Updated += o.Updated
	r.Reopened += o.Reopened
	r.AutoResolved += o.AutoResolved
}

// round runs every rule up to the present of ClickHouse's clock, which is what
// stored times are of.
func (e *Engine) round(ctx context.Context, delayed bool) (Result, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var total Result
	now, watermarks, err := e.store.progress(ctx)
	if err != nil {
		return total, err
	}
	passes, err := e.store.passes(ctx)
	if err != nil {
		return total, err
	}
	if _, err := e.look(ctx, now, watermarks); err != nil {
		return total, err
	}
	var errs []error
	reached := map[string]time.Time{}
	for _, t := range e.rules {
		until := now
		if delayed {
			until = now.Add(-t.Schedule.Delay)
		}
		for _, pass := range t.Schedule.After {
			until = earliest(until, passes[pass])
		}
		done, err := e.advance(ctx, t, watermarks[sweepMark(t.ID)], until, reached)
		total.add(done)
		if t.mark.After(watermarks[t.ID]) {
			reached[t.ID] = t.mark
		}
		if len(t.Schedule.After) > 0 {
			t.owe(e.sight.again(t.owed))
		}
		errs = append(errs, e.tell(ctx, t, now, done, err))
	}
	errs = append(errs, e.store.saveProgress(ctx, reached, now))
	return total, errors.Join(errs...)
}

// prompt runs the rules that are to be so, when something is new. How far they came is
// saved in the next round: a kill in between repeats work.
func (e *Engine) prompt(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now, err := e.store.now(ctx)
	if err != nil {
		return err
	}
	news, err := e.look(ctx, now, nil)
	if err != nil || news.IsZero() {
		return err
	}
	var errs []error
	for _, t := range e.rules {
		if t.Schedule.Prompt {
			done, err := e.catchUp(ctx, t, now)
			errs = append(errs, e.tell(ctx, t, now, done, err))
		}
	}
	return errors.Join(errs...)
}

// look sees what is new, and has each rule judge it. A rule of which this engine does not
// know how far it has come begins at its watermark, and as far behind it as records may
// have become visible since.
func (e *Engine) look(ctx context.Context, now time.Time, watermarks map[string]time.Time) (news time.Time, err error) {
	if news, err = e.sight.look(ctx, &e.store, e.cfg.Visible, now); err != nil {
		return news, err
	}
	for _, t := range e.rules {
		switch {
		case t.owed.IsZero():
			t.mark, t.owed = watermarks[t.ID], watermarks[t.ID].Add(-e.cfg.Visible)
		case !news.IsZero():
			t.owe(news)
		}
	}
	return news, nil
}

// forget has the next round begin at what is saved: another engine may have been at work.
func (e *Engine) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sight = sight{}
	for _, t := range e.rules {
		t.mark, t.owed = time.Time{}, time.Time{}
	}
}

// tell says how a rule stands, and which it is that met an error.
func (e *Engine) tell(ctx context.Context, t *task, now time.Time, done Result, err error) error {
	e.tel.round(ctx, t.ID, now.Sub(t.mark), done)
	if err != nil {
		e.tel.failed(ctx, t.ID, err)
		return fmt.Errorf("rule %s: %w", t.ID, err)
	}
	return nil
}
