// Package demo is an estate of real parts under one roof: per company an
// authorization server that performs RFC 8693 token exchange, Open Policy Agent,
// MCP servers that call each other, and agents that work for humans. It is the
// traffic of "custody demo", and the truth that tests hold custody against.
//
// It stands before the collector and knows it by URL and keys only. Everything
// it reports it reports the way a customer's estate would: servers, the
// authorization server and the agents' runtime by POST /v1/events (package
// emitter), OPA by its own decision log. Nothing is reported that did not happen
// on the wire; only the backends behind the tools are not there.
//
// One seed gives one order of scenarios with the same names, task and trace ids;
// keys, tokens and times are new in each run. [Estate.Run] returns when the
// collector acknowledged everything, or says what it did not.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/custody-audit/custody/schemas/event"
)

// Config configures an Estate.
type Config struct {
	// CollectorURL is the collector's HTTP address without a path.
	CollectorURL string
	// Keys open the collector, by source id; see [NewSources] and [Keys].
	Keys map[string]string
	// Seed decides the order of scenarios and every id in them.
	Seed uint64
	// Once enacts every scenario once per human, one after the other, and ends;
	// Rounds does so several times, 0 is one.
	Once   bool
	Rounds int
	// Rate is how many calls of agents begin per second, servers' own calls not
	// counted; 0 is as many as the estate can carry. Ignored with Once.
	Rate float64
	// Duration ends the run; 0 lets it run until its context ends. Ignored with Once.
	Duration time.Duration
	// WithholdExchange makes acme's authorization server keep to itself the
	// second of the three exchanges of one release. The truth says which.
	WithholdExchange bool
	// DrainTimeout is how long the end of a run waits for the collector to take
	// the rest; 0 is 30 s. What is left then is lost, and Run says so.
	DrainTimeout time.Duration
	// Steps takes every [Step] as a line of JSON while it happens; nil for nobody.
	Steps io.Writer
	// Progress hears of every scenario that ended, one at a time; nil for nobody.
	Progress func(Progress)

	Logger *slog.Logger
}

// Progress says how far a run has come.
type Progress struct {
	// Scenario that ended last, and its tenant.
	Scenario, Tenant string
	// Scenarios and agents' calls so far.
	Scenarios, Calls int
	// Sent are the events handed over so far, decisions included.
	Sent int
}

// Summary is what a run did.
type Summary struct {
	// Sent counts the events by kind: those handed to the emitters and the
	// decisions OPA made. The collector has them all when Run returned no error.
	Sent map[event.Kind]int `json:"sent"`
	// Truth is what happened, in the order of the scenarios' ends.
	Truth []Truth `json:"truth"`
	// TruthDropped counts what was left out of Truth in a long run.
	TruthDropped int `json:"truth_dropped,omitempty"`
	// Deepest is the trace id of the first chain with the most hops.
	Deepest string `json:"deepest"`
	// Scenarios enacted and calls of agents.
	Scenarios int `json:"scenarios"`
	Calls     int `json:"calls"`
	// Took is the time from the first scenario to the last acknowledgement.
	Took time.Duration `json:"took_ns"`
}

// Total is the number of events sent.
func (s *Summary) Total() int {
	n := 0
	for _, k := range s.Sent {
		n += k
	}
	return n
}

// Validate reports all problems at once.
func (c *Config) Validate() error {
	var errs []error
	if c.CollectorURL == "" || c.Logger == nil {
		errs = append(errs, errors.New("want a CollectorURL and a Logger"))
	}
	for _, s := range NewSources() {
		if c.Keys[s.Source.ID] == "" {
			errs = append(errs, fmt.Errorf("Keys: none for source %q", s.Source.ID))
		}
	}
	if c.Rate < 0 || c.Duration < 0 || c.DrainTimeout < 0 {
		errs = append(errs, errors.New("want Rate, Duration and DrainTimeout of 0 or more"))
	}
	return errors.Join(errs...)
}

// Estate is the demo estate. It runs once.
type Estate struct {
	cfg    Config
	ledger *ledger
	pacer  *rate.Limiter
	score  score

	tenants []*tenant // set before the first scenario
}

// New checks the configuration; nothing is started before Run.
func New(cfg Config) (*Estate, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("demo estate: %w", err)
	}
	if cfg.DrainTimeout == 0 {
		cfg.DrainTimeout = 30 * time.Second
	}
	e := &Estate{cfg: cfg, ledger: newLedger(cfg.Steps), pacer: rate.NewLimiter(rate.Inf, 1)}
	if !cfg.Once && cfg.Rate > 0 {
		e.pacer = rate.NewLimiter(rate.Limit(cfg.Rate), 1)
	}
	return e, nil
}

// Run starts the estate, enacts the scenarios, and stops everything again. That
// ctx ends is how a run without Duration ends, and no error; what is under way
// then is finished.
func (e *Estate) Run(ctx context.Context) (*Summary, error) {
	if !e.cfg.Once && e.cfg.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, e.cfg.Duration)
		defer cancel()
	}
	working := context.WithoutCancel(ctx) // a task that began is brought to its end
	if err := e.open(working); err != nil {
		return nil, errors.Join(err, e.close(working))
	}
	began := time.Now()
	err := e.enact(ctx, working)
	err = errors.Join(err, e.close(working))
	summary, unsent := e.summarize()
	summary.Took = time.Since(began)
	return summary, errors.Join(err, unsent, e.ledger.broken)
}

func (e *Estate) open(ctx context.Context) error {
	for i := range cast {
		t, err := e.openTenant(ctx, &cast[i])
		e.tenants = append(e.tenants, t)
		if err != nil {
			return fmt.Errorf("start %s: %w", cast[i].name, err)
		}
	}
	return nil
}

func (e *Estate) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.DrainTimeout)
	defer cancel()
	var errs []error
	for _, t := range e.tenants {
		if err := t.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", t.name, err))
		}
	}
	return errors.Join(errs...)
}

// actors is how many scenarios run beside each other when they are drawn.
const actors = 8

// decisions made by the policy engines so far.
func (e *Estate) decisions() int {
	n := 0
	for _, t := range e.tenants {
		n += t.pdp.Made()
	}
	return n
}

func (e *Estate) enact(ctx, working context.Context) error {
	rng := rand.New(rand.NewPCG(e.cfg.Seed, 0))
	if e.cfg.Once {
		var all []casting
		for range max(e.cfg.Rounds, 1) {
			all = append(all, round(e.tenants, rng)...)
		}
		return e.enactRound(ctx, working, all)
	}
	group, working := errgroup.WithContext(working)
	group.SetLimit(actors)
	for number := uint64(1); ctx.Err() == nil && working.Err() == nil; number++ {
		c := draw(e.tenants, rng)
		group.Go(func() error { return e.play(working, c, number) })
	}
	return group.Wait()
}

func (e *Estate) enactRound(ctx, working context.Context, castings []casting) error {
	for i, c := range castings {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := e.play(working, c, uint64(i+1)); err != nil {
			return err
		}
	}
	return nil
}

func (e *Estate) play(ctx context.Context, c casting, number uint64) error {
	if err := c.scenario.run(ctx, newAct(c.tenant, c.scenario, c.human, e.cfg.Seed, number)); err != nil {
		return fmt.Errorf("scenario %s of %s in %s: %w", c.scenario.name, c.human, c.tenant.name, err)
	}
	e.score.add(c, e.decisions(), e.cfg.Progress)
	return nil
}
