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
	"slices"
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
	// Progress is told how far a rule has judged, after each query, of prompt rules beside the
	// others; nil for nobody.
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

// Engine runs the rules.
type Engine struct {
	cfg   Config
	lanes [2]*lane // of prompt rules and of the others, which may take long
	store store
	tel   *telemetry
}

// lane is rules that run one after another. One round of it runs at a time.
type lane struct {
	rules    []*task
	interval time.Duration
	sight    sight
	saved    time.Time // when it was saved how far they are

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
	e := &Engine{cfg: cfg, tel: tel, store: store{cfg.ClickHouse, cfg.Limits, cfg.Fence}, lanes: [2]*lane{{interval: cfg.Prompt}, {interval: cfg.Interval}}}
	for _, r := range cfg.Rules {
		p, err := r.parameters(cfg.Parameters[r.ID])
		if err != nil {
			return nil, fmt.Errorf("detect: %w", err)
		}
		q, err := parts.Parse(r.SQL)
		if err != nil {
			return nil, fmt.Errorf("detect: rule %s: %w", r.ID, err)
		}
		l := e.lanes[1]
		if r.Schedule.Prompt {
			l = e.lanes[0]
		}
		l.rules = append(l.rules, &task{Rule: r, parameters: p, question: q, step: cfg.Step})
	}
	return e, unknown(cfg.Parameters, cfg.Rules)
}

// Run judges in rounds until ctx is done, prompt rules in rounds of their own. A round that
// meets an error is logged and the rule goes on where it stood; Run itself returns nil.
func (e *Engine) Run(ctx context.Context) error {
	var both sync.WaitGroup
	for _, l := range e.lanes {
		l.forget()
		both.Go(func() { e.rounds(ctx, l) })
	}
	both.Wait()
	return nil
}

func (e *Engine) rounds(ctx context.Context, l *lane) {
	for {
		if _, err := e.round(ctx, l, true); err != nil && ctx.Err() == nil {
			e.cfg.Logger.Warn("detections met errors and will be repeated", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(l.pause()):
		}
	}
}

// pause is the interval with up to a tenth of it more or less.
func (l *lane) pause() time.Duration {
	tenth := int64(l.interval / 10)
	return l.interval + time.Duration(rand.Int64N(2*tenth+1)-tenth)
}

// Once judges everything that is stored now and waits for nothing that may
// still come: rules that give other events time to arrive do not. It goes on to
// the next rule after an error and returns them all.
func (e *Engine) Once(ctx context.Context) (Result, error) {
	var total Result
	var errs []error
	for _, l := range e.lanes {
		done, err := e.round(ctx, l, false)
		total.add(done)
		errs = append(errs, err)
	}
	return total, errors.Join(errs...)
}

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

// round runs the rules of a lane up to the present of ClickHouse's clock, which is what
// stored times are of.
func (e *Engine) round(ctx context.Context, l *lane, delayed bool) (Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var total Result
	now, passes, err := e.begin(ctx, l)
	if err != nil {
		return total, err
	}
	var errs []error
	for _, t := range l.rules {
		until := now
		if delayed {
			until = now.Add(-t.Schedule.Delay)
		}
		for _, pass := range t.Schedule.After {
			until = earliest(until, passes[pass])
		}
		done, err := e.advance(ctx, l, t, until)
		total.add(done)
		if len(t.Schedule.After) > 0 {
			t.owe(l.sight.again(t.owed))
		}
		e.tel.round(ctx, t.ID, now.Sub(t.mark), done)
		if err != nil {
			e.tel.failed(ctx, t.ID, err)
			errs = append(errs, fmt.Errorf("rule %s: %w", t.ID, err))
		}
	}
	if !delayed || now.Sub(l.saved) >= e.cfg.Interval/2 { // a kill in between repeats work
		errs = append(errs, e.save(ctx, l, now))
	}
	return total, errors.Join(errs...)
}

// begin sees what is new and has each rule judge it. A rule of which the lane does not
// know how far it is begins at its watermark, and as far behind it as records may have
// become visible since.
func (e *Engine) begin(ctx context.Context, l *lane) (now time.Time, passes map[string]time.Time, err error) {
	if now, err = e.store.now(ctx); err != nil {
		return now, nil, err
	}
	if slices.ContainsFunc(l.rules, func(t *task) bool { return len(t.Schedule.After) > 0 }) {
		if passes, err = e.store.passes(ctx); err != nil {
			return now, nil, err
		}
	}
	if slices.ContainsFunc(l.rules, func(t *task) bool { return t.owed.IsZero() }) {
		watermarks, err := e.store.watermarks(ctx, "SELECT rule, max(watermark) FROM rule_progress GROUP BY rule")
		if err != nil {
			return now, nil, err
		}
		for _, t := range l.rules {
			t.mark, t.swept, t.owed = watermarks[t.ID], watermarks[sweepMark(t.ID)], watermarks[t.ID].Add(-e.cfg.Visible)
		}
	}
	news, err := l.sight.look(ctx, &e.store, e.cfg.Visible, now)
	if err == nil && !news.IsZero() {
		for _, t := range l.rules {
			t.owe(news)
		}
	}
	return now, passes, err
}

// save stores how far the rules are.
func (e *Engine) save(ctx context.Context, l *lane, now time.Time) error {
	reached := map[string]time.Time{}
	for _, t := range l.rules {
		for name, mark := range map[string]time.Time{t.ID: t.mark, sweepMark(t.ID): t.swept} {
			if mark.After(time.Unix(0, 0)) {
				reached[name] = mark
			}
		}
	}
	if err := e.store.saveProgress(ctx, reached, now); err != nil {
		return err
	}
	l.saved = now
	return nil
}

// forget has the next round begin at what is saved: another engine may have been at work.
func (l *lane) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sight, l.saved = sight{}, time.Time{}
	for _, t := range l.rules {
		t.mark, t.swept, t.owed = time.Time{}, time.Time{}, time.Time{}
	}
}
