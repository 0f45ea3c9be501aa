// Package scenario measures the detections: it stores a month of an installation's
// events, in which it knows what is wrong, lets the passes and the rules run, and
// counts what they found, what they missed and what they told in vain.
//
// It stands above the whole flow, beside cmd/custody, whose "custody bench scenario"
// it is. All is made from a seed and the time at which the month ends: identities with
// rhythms of their own, whose traffic keeps to every rule, events that come hours
// late, and among them incidents of every kind. Rows are made by the processor's own
// enrichment and columns; each carries the time at which it would have been stored.
//
// What is an incident is known in this process only: no row says it, so neither a
// pass nor a rule can read it. It does not measure how soon a finding comes: the rules
// go through the month when all of it is there.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// Config says how much happens.
type Config struct {
	// Dir is the data folder of ClickHouse; it must be empty, or hold what an earlier
	// run with the same seed and numbers stored, which is then judged again. Required.
	Dir  string
	Seed uint64
	// Identities that work all the time.
	Identities int
	// Events in the days, about.
	Events int
	Days   int
	// Incidents of each kind.
	Incidents int
	// Late is the share of events that come hours after their time.
	Late float64
	// Raw keeps the bytes of events too, for those who go on with the store: chains and
	// reviews read them.
	Raw bool
	// Rules that judge, with the passes they wait for; empty is all. Incidents of the
	// others happen too.
	Rules []string
	// Copies of the month that further tenants have too, when the passes have taken it in.
	Copies int
	// Wrong is how many missed incidents and false findings of each rule Progress
	// tells of.
	Wrong    int
	Progress io.Writer
	Logger   *slog.Logger
}

func (c *Config) validate() error {
	var errs []error
	if c.Dir == "" || c.Progress == nil || c.Logger == nil {
		errs = append(errs, errors.New("want a Dir, Progress and a Logger"))
	}
	if c.Identities < 20 || c.Events < 1000 || c.Days < 20 || c.Days > 60 || c.Incidents < 0 || c.Late < 0 || c.Late > 0.5 || c.Copies < 0 || c.Copies > 100 {
		errs = append(errs, fmt.Errorf("%d identities, %d events, %d days, %d incidents, %g late, %d copies: want 20 or more, 1000 or more, 20 to 60, 0 or more, 0 to 0.5, 0 to 100", c.Identities, c.Events, c.Days, c.Incidents, c.Late, c.Copies))
	}
	rules, err := detect.Builtin()
	errs = append(errs, err)
	for _, id := range c.Rules {
		if !slices.ContainsFunc(rules, func(r *detect.Rule) bool { return r.ID == id }) {
			errs = append(errs, fmt.Errorf("there is no rule %q", id))
		}
	}
	return errors.Join(errs...)
}

// judges tells whether a rule is one that judges.
func (c *Config) judges(rule string) bool {
	return len(c.Rules) == 0 || slices.Contains(c.Rules, rule)
}

// Result is what came of it.
type Result struct {
	Precision            float64           `json:"precision"`
	Recall               float64           `json:"recall"`
	FalsePerIdentityWeek float64           `json:"false_per_identity_week"`
	ByRule               map[string]*Score `json:"by_rule"`
	Unexercised          []string          `json:"unexercised"`
	Seed                 uint64            `json:"seed"`
	Identities           int               `json:"identities"`
	Events               int               `json:"events"`
	Late                 int               `json:"late"`
	Days                 int               `json:"days"`
	Incidents            int               `json:"incidents"`
	Found                int               `json:"found"`
	Findings             int               `json:"findings"`
	False                int               `json:"false"`
	Store                Cost              `json:"store"`
	Passes               Cost              `json:"passes"`
	ByPass               map[string]*Cost  `json:"by_pass"`
	Judging              Cost              `json:"judging"`
	Judged               int               `json:"judged"`                  // events, with those of copies
	MemoryBytes          int64             `json:"memory_bytes"`            // the most that ClickHouse had while the rules judged
	CopiesDiffer         []string          `json:"copies_differ,omitempty"` // rules that found more or less in copies
	Seconds              float64           `json:"seconds"`
}

// run is a scenario under way.
type run struct {
	Config
	end    time.Time
	engine *embedded.Engine
	cast   *cast
	plot   *plot
	writer *writer
	counts map[string]int64 // of the sources that number their events, by source and day
	meter  *meter

	events, delayed int // that were stored, and of them late
	copies          int // of the month, that are there
}

// Run enacts a scenario and scores what was found.
func Run(ctx context.Context, cfg Config) (_ *Result, err error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	began := time.Now()
	r := &run{Config: cfg, end: began.UTC().Truncate(time.Minute), counts: map[string]int64{}}
	defer func() { err = errors.Join(err, r.close()) }()
	kept, again, err := r.kept()
	if err != nil {
		return nil, err
	}
	if again {
		r.end, r.events, r.delayed, r.copies = kept.End, kept.Events, kept.Delayed, kept.Copies
	}
	if err := r.start(ctx, again); err != nil {
		return nil, err
	}
	r.think()
	if again {
		r.say("judging again the %d events of the month until %s", r.events, r.end.Format(time.DateTime))
		err = r.forget(ctx)
	} else {
		err = r.store(ctx)
	}
	if err != nil {
		return nil, err
	}
	result := &Result{Seed: cfg.Seed, Identities: cfg.Identities, Events: r.events, Late: r.delayed, Days: cfg.Days}
	if result.Store, err = r.meter.lap(ctx); err != nil {
		return nil, err
	}
	if err := r.judge(ctx, result); err != nil {
		return nil, err
	}
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

func (r *run) say(format string, args ...any) { fmt.Fprintf(r.Progress, format+"\n", args...) }

// start starts ClickHouse, where nothing is or a month again.
func (r *run) start(ctx context.Context, again bool) error {
	binary, err := embedded.EnsureEngine(ctx)
	if err != nil {
		return err
	}
	if r.engine, err = embedded.StartEngine(ctx, embedded.EngineConfig{Dir: r.Dir, Binary: binary, Logger: r.Logger}); err != nil {
		return err
	}
	outside, err := r.open(embedded.Admin, "")
	if err != nil {
		return err
	}
	defer outside.Close()
	if !again {
		if err := outside.Exec(ctx, "CREATE DATABASE custody ENGINE = Atomic"); err != nil {
			return fmt.Errorf("create the database in an empty folder: %w", err)
		}
	}
	admin, err := r.open(embedded.Admin, "custody")
	if err != nil {
		return err
	}
	r.meter = &meter{admin: admin}
	if _, err := table.Migrate(ctx, admin); err != nil {
		return err
	}
	_, err = r.meter.lap(ctx)
	return err
}

func (r *run) open(user, database string) (driver.Conn, error) {
	return clickhouse.Open(r.options(user, database))
}

func (r *run) options(user, database string) *clickhouse.Options {
	return &clickhouse.Options{
		Addr: []string{r.engine.Addr()}, Auth: clickhouse.Auth{Username: user, Password: r.engine.Password(user), Database: database},
		DialTimeout: 5 * time.Second, ReadTimeout: 15 * time.Minute,
	}
}

// think makes up who appears and what goes wrong.
func (r *run) think() {
	r.cast = newCast(r.Seed, r.Identities, r.Events, r.begin())
	r.plot = newPlot(r.cast, r.Seed, r.begin(), r.end)
	r.plot.enact(r.Incidents)
	r.say("%d identities of %d tenants, %d incidents", len(r.cast.identities), len(r.cast.tenants), len(r.plot.labels))
}

// begin is when the month begins; a whole hour, so that nobody is in the middle of something.
func (r *run) begin() time.Time { return r.end.AddDate(0, 0, -r.Days).Truncate(time.Hour) }

// store makes the events hour by hour and stores them as they come.
func (r *run) store(ctx context.Context) error {
	conn, err := ch.Dial(ctx, ch.Options{Address: r.engine.Addr(), User: embedded.Writer, Password: r.engine.Password(embedded.Writer), Database: "custody"})
	if err != nil {
		return err
	}
	defer conn.Close()
	registries := map[string]*enrich.Registry{}
	for _, t := range r.cast.tenants {
		registries[t.name] = t.registry
	}
	r.writer = newWriter(conn, enrich.NewSnapshot(registries), r.Seed, r.Late, r.end)
	r.writer.raw = r.Raw
	r.incidents()
	for _, i := range r.cast.identities {
		r.send(i.walk(i.rand(r.Seed, 0), r.begin()))
		if i.veteran {
			r.send(i.walk(i.rand(r.Seed, 1), pastOf(r.end)))
			r.send(i.entitled(i.rand(r.Seed, 2), pastOf(r.end), r.begin()))
		}
	}
	began, first := time.Now(), r.begin()
	for hour := pastOf(r.end); !hour.After(r.end); hour = hour.Add(time.Hour) {
		if !hour.Before(first) {
			r.work(hour)
		}
		if err := r.writer.arrive(ctx, hour); err != nil {
			return err
		}
		if hour.Hour() == 0 && hour.After(first) {
			r.say("stored until %s: %d events, %.0f s", hour.Format(time.DateOnly), r.writer.events, time.Since(began).Seconds())
		}
	}
	if err := r.writer.flush(ctx); err != nil {
		return err
	}
	r.events, r.delayed = r.writer.events, r.writer.delayed
	return r.save()
}

// work is an hour of everybody's work.
func (r *run) work(hour time.Time) {
	for _, i := range r.cast.identities {
		r.send(i.hourly(i.rand(r.Seed, uint64(hour.Unix())), hour, float64(r.Days)))
	}
}

// send sends normal traffic on its way, as far as it happens before the end. The
// orchestrators number their events.
func (r *run) send(events []*event.Event) {
	for _, e := range events {
		if !e.Time.Go().Before(r.end) {
			continue
		}
		if e.Kind == event.Session {
			r.number(e)
		}
		r.writer.send(e, table.Stored, 0)
		if r.writer.rng.IntN(500) == 0 {
			again := *e // its source did not hear that it was taken
			r.writer.send(&again, table.Duplicate, 0)
		}
	}
}

// rand is an identity's dice for an hour.
func (i *identity) rand(seed, hour uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed^hour<<20, uint64(i.number)))
}

// number gives an event the next number of its source, which begins anew every day.
func (r *run) number(e *event.Event) {
	run := "d" + e.Time.Go().Format("20060102")
	r.counts[e.Source.ID+run]++
	e.Source.Sequence = r.counts[e.Source.ID+run]
	e.Source.EventID = run + "-" + strconv.FormatInt(e.Source.Sequence, 10)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
}

// incidents sends all events of the incidents on their way.
func (r *run) incidents() {
	for _, s := range r.plot.scripts {
		for _, e := range s.events {
			r.writer.send(e, table.Stored, 0)
		}
		for _, x := range s.again {
			r.writer.send(x.Event, x.state, 1)
		}
	}
}

func (r *run) close() error {
	if r.engine == nil {
		return nil
	}
	return errors.Join(r.meter.close(), r.engine.Close())
}
