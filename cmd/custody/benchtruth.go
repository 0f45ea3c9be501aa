package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/deploy/truth"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/topic"
)

// truthResult is the line that "bench truth" ends with.
type truthResult struct {
	Hops      truth.Score `json:"hops"`
	Verdicts  truth.Score `json:"verdicts"`
	Seed      uint64      `json:"seed"`
	Rounds    int         `json:"rounds"`
	Events    int         `json:"events"`
	Withheld  int         `json:"withheld"`
	Delayed   int         `json:"delayed"`
	Reordered int         `json:"reordered"`
	Seconds   float64     `json:"seconds"`
}

// reported is the prefix of the topics that the sources' events go to first.
const reported = "reported."

func newBenchTruth(a *app) *cobra.Command {
	var cfg demo.Config
	var f truth.Forward
	var output *choice
	c := &cobra.Command{
		Use:   "truth",
		Short: "Measure how much of what chains and verdicts say is true",
		Long: `Runs the demo estate on the pipeline. The estate writes down every exchange and every call while it acts, in a file that the pipeline
does not read. Between collector and processor events are withheld, held back until all others were judged, or put at another place.
Then the hops of the chains and the verdicts about the calls are held against the file: precision is the share of what was concluded
that is true, recall the share of what is true that was concluded. A hop is a token, the token it was got for, and by whom.`,
		Example: "  custody bench truth --seed 1 --withhold 0.1 --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.Validate(); err != nil {
				return err
			}
			if cfg.Rounds < 1 {
				return fmt.Errorf("--rounds %d: want 1 or more", cfg.Rounds)
			}
			f.Seed, cfg.Once = cfg.Seed, true
			result, err := a.benchTruth(cmd, cfg, f)
			if err != nil {
				return err
			}
			return writeTruth(cmd.OutOrStdout(), result, output.value)
		},
	}
	c.Flags().Uint64Var(&cfg.Seed, "seed", 1, "of the estate and of what happens to its events")
	c.Flags().IntVar(&cfg.Rounds, "rounds", 1, "how often every scenario is enacted")
	c.Flags().Float64Var(&f.Withhold, "withhold", 0, "share of the events that never come")
	c.Flags().Float64Var(&f.Delay, "delay", 0, "share of the events that come when all others were judged")
	c.Flags().Float64Var(&f.Reorder, "reorder", 0, "share of the events that come at another place")
	output = outputFlag(c, "table", "json")
	return c
}

func (a *app) benchTruth(cmd *cobra.Command, cfg demo.Config, f truth.Forward) (_ *truthResult, err error) {
	began := time.Now()
	t, err := a.startTruth(cmd.Context())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	slog.SetDefault(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))) // as the demo
	if err := t.act(cmd.Context(), cfg); err != nil {
		return nil, err
	}
	c := t.local.app.config
	if f.Client, err = c.Kafka.client(cmd.Context()); err != nil {
		return nil, err
	}
	f.From, f.To = topic.Name(reported, topic.Events), topic.Name(c.Kafka.TopicPrefix, topic.Events)
	plan, err := f.Plan(cmd.Context())
	if err != nil {
		return nil, err
	}
	sent := 0
	for _, part := range [][]truth.Record{plan.InTime, plan.Late} {
		sent += len(part)
		if err := t.store(cmd.Context(), &f, part, sent); err != nil {
			return nil, err
		}
	}
	result := &truthResult{Seed: cfg.Seed, Rounds: cfg.Rounds, Events: sent + len(plan.Withheld), Withheld: len(plan.Withheld), Delayed: len(plan.Late), Reordered: plan.Reordered}
	err = t.compare(cmd.Context(), result)
	result.Seconds = time.Since(began).Seconds()
	return result, err
}

// truthRun is an installation whose processor reads another topic than its
// collector writes.
type truthRun struct {
	local     *local
	telemetry *telemetry // of the collector
	collector *collectorService
	keys      []demo.SourceKey
	reader    *query.Reader
	done      func() error
	book      string // file of what really happened
}

func (a *app) startTruth(ctx context.Context) (_ *truthRun, err error) {
	c := a.demoConfig()
	c.DataDir = filepath.Join(a.config.DataDir, "truth")
	if err := os.RemoveAll(c.DataDir); err != nil {
		return nil, fmt.Errorf("empty the data folder: %w", err)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, err
	}
	t := &truthRun{keys: demo.NewSources(), book: filepath.Join(c.DataDir, "truth.jsonl")}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	var configured []collector.Source
	for _, k := range t.keys {
		configured = append(configured, k.Source)
	}
	sources, err := registry.New(registry.Config{Sources: configured, Types: types(), Logger: a.logger})
	if err != nil {
		return nil, err
	}
	if t.local, err = startLocal(ctx, *c, sources, a.logger); err != nil {
		return nil, err
	}
	if err := t.startFront(ctx, sources); err != nil {
		return nil, err
	}
	asking := &app{c, a.logger}
	t.reader, t.done, err = asking.reader("")
	return t, err
}

// startFront starts the collector that the estate reports to.
func (t *truthRun) startFront(ctx context.Context, sources *registry.Registry) (err error) {
	front := *t.local.app.config
	front.Kafka.TopicPrefix, front.Collector.Spool.Dir = reported, filepath.Join(front.DataDir, "front")
	client, err := front.Kafka.client(ctx)
	if err != nil {
		return err
	}
	if _, err := topic.Migrate(ctx, client, front.Kafka.layout()); err != nil {
		return err
	}
	if t.telemetry, err = startTelemetry(ctx, &front.Telemetry, "collect"); err != nil {
		return err
	}
	t.collector, err = startCollector(ctx, &app{&front, t.local.app.logger}, sources, t.telemetry)
	return err
}

// act lets the estate work, and write its book.
func (t *truthRun) act(ctx context.Context, cfg demo.Config) error {
	book, err := os.Create(t.book)
	if err != nil {
		return err
	}
	defer book.Close()
	cfg.CollectorURL, cfg.Keys, cfg.Logger, cfg.Steps = t.collector.url, demo.Keys(t.keys), t.local.app.logger, book
	estate, err := demo.New(cfg)
	if err != nil {
		return err
	}
	if _, err := estate.Run(ctx); err != nil {
		return err
	}
	return book.Sync()
}

// store sends records on, waits until as many are stored as were sent so far, and
// lets everything be judged.
func (t *truthRun) store(ctx context.Context, f *truth.Forward, records []truth.Record, sent int) error {
	if err := f.Send(ctx, records); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for stored := 0; stored < sent; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d events are stored: %w", stored, sent, ctx.Err())
		case <-tick.C:
		}
		states, _, err := t.reader.Count(ctx)
		if err != nil {
			return err
		}
		stored = 0
		for _, n := range states {
			stored += int(n)
		}
	}
	_, err := t.local.detector.once(ctx)
	return err
}

func (t *truthRun) compare(ctx context.Context, result *truthResult) error {
	file, err := os.Open(t.book)
	if err != nil {
		return err
	}
	defer file.Close()
	book, err := truth.Read(file)
	if err != nil {
		return fmt.Errorf("%s: %w", t.book, err)
	}
	hops, err := truth.ConcludedHops(ctx, t.reader, book.Traces())
	if err != nil {
		return err
	}
	verdicts, err := truth.ConcludedVerdicts(ctx, t.reader)
	if err != nil {
		return err
	}
	result.Hops, result.Verdicts = truth.Compare(book.Hops(), hops), truth.Compare(book.Verdicts(), verdicts)
	return nil
}

func (t *truthRun) close() error {
	var errs []error
	if t.done != nil {
		errs = append(errs, t.done())
	}
	if t.collector != nil {
		errs = append(errs, t.collector.close())
	}
	if t.telemetry != nil {
		errs = append(errs, t.telemetry.close())
	}
	if t.local != nil {
		errs = append(errs, t.local.close())
	}
	return errors.Join(errs...)
}

func writeTruth(w io.Writer, r *truthResult, output string) error {
	if output == "json" {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintf(w, "%d events, %d withheld, %d delayed, %d reordered\nhops      precision %.4f, recall %.4f (%d true, %d concluded, %d both)\nverdicts  precision %.4f, recall %.4f (%d true, %d concluded, %d both)\n",
		r.Events, r.Withheld, r.Delayed, r.Reordered, r.Hops.Precision, r.Hops.Recall, r.Hops.True, r.Hops.Concluded, r.Hops.Both,
		r.Verdicts.Precision, r.Verdicts.Recall, r.Verdicts.True, r.Verdicts.Concluded, r.Verdicts.Both)
	return err
}
