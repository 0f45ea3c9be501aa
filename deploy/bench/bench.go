// Package bench measures the processor against two programs that store the same
// events from the same broker in the same ClickHouse on the same cores: a bare
// one that fetches, decodes and inserts and does nothing else, and the
// OpenTelemetry Collector.
//
// It stands above the whole flow, beside cmd/custody, whose "custody bench" it
// is. Each contender is a process of its own and reads a filled topic from its
// start until every event is a row. They take turns, and a figure is the median
// of the rounds. CPU time is the kernel's for the whole life of a process.
//
// It does not give absolute truth: on another machine, or beside other work, the
// times differ. The ratios are of one run and move less.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/schemas/event"
)

// Config says what is measured.
type Config struct {
	// Self is the custody binary. Required.
	Self string
	// Otelcol is the Collector's binary; empty leaves the Collector out.
	Otelcol string
	// Seed of the events.
	Seed uint64
	// Events in each topic, rounded up to whole tasks.
	Events int
	// Rounds in which each contender has one turn.
	Rounds int
	// Partitions of each topic.
	Partitions int
	// OTLPPerMessage is how many log records a Kafka message of the Collector's
	// topics has; 0 is one, as one event is one record of custody.events.
	OTLPPerMessage int
	// Rate in events a second at which the time until an event is stored is
	// measured, and for how long; 0 leaves it out.
	Rate     int
	Duration time.Duration
	// CatchUp lets a measurement of the detections last until all that came is taken in.
	CatchUp bool
	// ProfileDir is where CPU profiles of the processor go; empty takes none.
	ProfileDir string
	// Progress gets a line for each turn.
	Progress io.Writer
}

// runner is one run of the benchmark.
type runner struct {
	*estate
	cfg Config
	w   *workload.Workload
	run int // number of the next turn
	// padded is how many copies of the first turn's rows were made.
	padded int
}

// rateOfEvents is how densely in time the events of a workload lie: as if they
// came at 20,000 a second, so that many are of the same hour.
const rateOfEvents = 20_000

func start(ctx context.Context, cfg Config) (*runner, error) {
	if cfg.Self == "" || cfg.Events <= 0 || cfg.Rounds <= 0 || cfg.Partitions <= 0 || cfg.Progress == nil {
		return nil, errors.New("bench: Self, Events, Rounds, Partitions and Progress are required")
	}
	if cfg.ProfileDir != "" {
		if err := os.MkdirAll(cfg.ProfileDir, 0o750); err != nil {
			return nil, fmt.Errorf("bench: folder for profiles: %w", err)
		}
	}
	cfg.Events = (cfg.Events + workload.PerTask - 1) / workload.PerTask * workload.PerTask
	cfg.OTLPPerMessage = max(cfg.OTLPPerMessage, 1)
	r := &runner{cfg: cfg, w: &workload.Workload{Seed: cfg.Seed, Base: time.Now().Add(-time.Duration(cfg.Events) * time.Second / rateOfEvents), Step: time.Second / rateOfEvents}}
	r.say("starting the broker and ClickHouse")
	var err error
	r.estate, err = startEstate(ctx, cfg.Self)
	return r, err
}

func (r *runner) say(format string, args ...any) {
	fmt.Fprintf(r.cfg.Progress, format+"\n", args...)
}

// The topics of a run; Custody's is custody.events below its prefix.
const (
	custodyPrefix  = "bench."
	otelTopic      = "bench.otlp"
	otelPlainTopic = "bench.otlp-body"
)

// Run measures and returns the figures.
func Run(ctx context.Context, cfg Config) (_ []Figure, err error) {
	r, err := start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	contenders, err := r.contenders(ctx)
	if err != nil {
		return nil, err
	}
	samples := map[string][]*sample{}
	for round := range r.cfg.Rounds {
		for _, c := range contenders {
			got, err := r.turn(ctx, c)
			if err != nil {
				return nil, err
			}
			r.say("round %d, %-12s %s", round+1, c.name+":", got)
			samples[c.name] = append(samples[c.name], got)
		}
		slices.Reverse(contenders) // so that none always comes after the same
	}
	figures, err := r.figures(ctx, samples)
	if err != nil {
		return nil, err
	}
	if r.cfg.Rate > 0 {
		f, err := r.latency(ctx)
		if err != nil {
			return nil, err
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// turn is a run of a contender into an empty database.
func (r *runner) turn(ctx context.Context, c *contender) (*sample, error) {
	r.run++
	return r.estate.run(ctx, c, r.run, r.cfg.Events)
}

// contenders fills the topics and returns who reads them.
func (r *runner) contenders(ctx context.Context) ([]*contender, error) {
	out := []*contender{r.bare(custodyTopic(custodyPrefix)), r.custody(custodyPrefix)}
	topics := map[string]func([]*event.Event) []kafka.Message{custodyTopic(custodyPrefix): canonical}
	if r.cfg.Otelcol == "" {
		r.say("the OpenTelemetry Collector is left out: --otelcol names none")
	} else {
		out = append(out, r.otelcol(nameOtel, otelTopic), r.otelcol(nameOtelBody, otelPlainTopic))
		topics[otelTopic] = otlpMapping{true, r.cfg.OTLPPerMessage}.messages
		topics[otelPlainTopic] = otlpMapping{false, r.cfg.OTLPPerMessage}.messages
	}
	for name, message := range topics {
		r.say("filling %s with %d events", name, r.cfg.Events)
		if err := r.fill(ctx, r.w, name, r.cfg.Partitions, 0, uint64(r.cfg.Events), message); err != nil {
			return nil, err
		}
	}
	return out, nil
}
