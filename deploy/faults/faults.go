// Package faults breaks an installation at random while events come, and then
// checks that it kept the processor's promise: nothing lost, nothing twice, the
// roll-ups and the trees right.
//
// It stands above the whole flow, beside cmd/custody, whose "custody faults" it
// is. The processors are real ones, each a process; so are the broker and
// ClickHouse. What it checks it reads from Kafka and ClickHouse directly, by
// rules of its own: of the processor it shares only how an event is read.
//
// The plan of the faults depends on the seed only; when each hits does not. The
// broker's own process is never killed, and no fault is a loss of power: what a
// killed process has written, the kernel still has.
package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says how long and how hard.
type Config struct {
	// Self is the custody binary. Required.
	Self string
	// Seed of the events and of the plan.
	Seed uint64
	// Duration of the faults; the last ones end a little later.
	Duration time.Duration
	// Rate in events a second, in the mean. Required.
	Rate int
	// Members of the consumer group that always run. Required.
	Members int
	// Partitions of custody.events. Required.
	Partitions int
	// Kinds that may hit; empty is all.
	Kinds []string
	// LogDir is an existing folder that keeps what the processes say; empty keeps nothing.
	LogDir string
	// Progress gets a line for each round of faults.
	Progress io.Writer
}

// Result is the outcome. The names are those of the command's JSON.
type Result struct {
	Faults     int            `json:"faults"`
	Events     int            `json:"events"` // records that Kafka acknowledged
	Lost       int            `json:"lost"`
	Duplicates int            `json:"duplicates"`
	RollupOK   bool           `json:"rollup_equal"`
	RootOK     bool           `json:"root_equal"`
	WrongState int            `json:"wrong_state"` // rows whose state is not what the log says
	States     map[string]int `json:"states"`
	Kinds      map[string]int `json:"kinds"`
	LeftOut    []string       `json:"left_out,omitempty"` // kinds that this machine does not allow
	Restarts   int            `json:"restarts"`           // of processors that could not start, or were killed
	Views      int            `json:"views"`
	Seconds    float64        `json:"seconds"`
	Seed       uint64         `json:"seed"`
	Problems   []string       `json:"problems,omitempty"` // what is wrong, one line each
}

// OK says whether the promise was kept.
func (r *Result) OK() bool {
	return r.Lost == 0 && r.Duplicates == 0 && r.RollupOK && r.RootOK && r.WrongState == 0 && len(r.Problems) == 0
}

// maxProblems bounds what is told of one run.
const maxProblems = 20

func (r *Result) problem(format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// run is one run.
type run struct {
	*estate
	cfg      Config
	members  *members
	producer *producer
	result   *Result
}

// Run breaks and checks. An error says that no answer was reached; a broken
// promise is in the result.
func Run(ctx context.Context, cfg Config) (_ *Result, err error) {
	r, err := start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	began := time.Now()
	broken := r.storm(ctx)
	r.result.Restarts, r.result.Problems = r.members.close()
	if broken != nil {
		if ctx.Err() != nil {
			return nil, broken
		}
		r.result.problem("%v", broken)
	}
	r.say("checking %d records", len(r.producer.acknowledged))
	if err := r.check(ctx); err != nil {
		return nil, errors.Join(broken, err)
	}
	r.result.Events, r.result.Seconds = len(r.producer.acknowledged), time.Since(began).Seconds()
	return r.result, nil
}

// start starts what is to be broken; the caller owes a close.
func start(ctx context.Context, cfg Config) (r *run, err error) {
	if cfg.Self == "" || cfg.Duration <= 0 || cfg.Rate <= 0 || cfg.Members <= 0 || cfg.Partitions <= 0 || cfg.Progress == nil {
		return nil, errors.New("faults: Self, Duration, Rate, Members, Partitions and Progress are required")
	}
	for _, k := range cfg.Kinds {
		if !slices.Contains(slices.Concat(hands...), k) {
			return nil, fmt.Errorf("faults: %q is no kind of fault; there are %s", k, strings.Join(AllKinds(), ", "))
		}
	}
	r = &run{cfg: cfg, result: &Result{Kinds: map[string]int{}, States: map[string]int{}, Seed: cfg.Seed}}
	r.say("starting the broker and ClickHouse")
	if r.estate, err = startEstate(ctx, &cfg); err != nil {
		return nil, err
	}
	if !r.limited() {
		r.result.LeftOut = append(r.result.LeftOut, diskFull)
	}
	if r.members, err = startMembers(r.estate, &cfg); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.cfg.Progress, format+"\n", args...)
}

// storm is the events with the faults, until all that came is stored.
func (r *run) storm(ctx context.Context) error {
	r.producer = newProducer(r.estate, &r.cfg)
	producing, stop := context.WithCancel(ctx)
	both, working := errgroup.WithContext(ctx)
	both.Go(func() error { return r.producer.run(producing) })
	both.Go(func() error {
		defer stop()
		return r.rounds(working)
	})
	if err := both.Wait(); err != nil {
		return err
	}
	r.say("waiting until all is stored and signed")
	if err := r.await(ctx, "the end of the log", r.drained); err != nil {
		return err
	}
	return r.await(ctx, "checkpoint of every partition", r.signed)
}

// rounds breaks one to three things at a time, and goes on when the processors
// have: a fault that hits what stands still shows nothing.
func (r *run) rounds(ctx context.Context) error {
	plan := rand.New(rand.NewPCG(r.cfg.Seed, 1))
	until := time.Now().Add(r.cfg.Duration)
	for number := 1; time.Now().Before(until); number++ {
		if err := r.calm(ctx, plan); err != nil {
			return err
		}
		faults := r.plan(plan)
		var names []string
		for _, f := range faults {
			names = append(names, f.String())
			r.result.Kinds[f.kind]++
		}
		r.result.Faults += len(faults)
		r.say("%4.0f s left, round %d, %d acknowledged: %s", time.Until(until).Seconds(), number, r.producer.count(), strings.Join(names, ", "))
		if err := r.inflict(ctx, faults); err != nil {
			return err
		}
	}
	return nil
}

// calm waits until a processor has stored something, and then a little more.
func (r *run) calm(ctx context.Context, plan *rand.Rand) error {
	before, err := r.committed(ctx)
	if err != nil {
		return err
	}
	err = r.await(ctx, "progress", func(ctx context.Context) error {
		now, err := r.committed(ctx)
		if err == nil && now.sum <= before.sum {
			err = fmt.Errorf("%d records are stored and no more", now.sum)
		}
		return err
	})
	wait(ctx, time.Duration(plan.IntN(1500))*time.Millisecond)
	return err
}

// inflict lets the faults hit at about the same time and returns when all are over.
func (r *run) inflict(ctx context.Context, faults []fault) error {
	var all sync.WaitGroup
	errs := make([]error, len(faults))
	for i, f := range faults {
		all.Go(func() {
			wait(ctx, f.delay)
			if err := r.hit(ctx, f); err != nil {
				errs[i] = fmt.Errorf("%s: %w", f, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// patience is how long the processors may take to recover from a round. The
// longest that they are allowed is an insert whose outcome they wait for.
const patience = 4 * time.Minute

// await asks until check returns nil.
func (r *run) await(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if !wait(ctx, 100*time.Millisecond) {
			return fmt.Errorf("no %s within %s: %w; %s", what, patience, err, r.members.lastWords())
		}
	}
}

// wait returns false when ctx is done before.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// Line is the result as one line for people.
func (r *Result) Line() string {
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(r.Kinds)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, r.Kinds[k]))
	}
	return strings.Join(kinds, ", ")
}
