package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
)

// detectConfig is what a platform engineer writes for "custody detect"; no lease,
// as there is one only.
const detectConfig = `clickhouse: {addresses: ["%s"], user: %s, password_file: "%s"}
detect: {rules: "%s"}
telemetry: {address: ""}
`

// beside is what a turn runs beside the processor.
type beside int

const (
	nothing beside = iota
	passes         // "custody detect" without a rule: lineage, baselines, verdicts, privileges
	rules          // and with all
)

// cost is what a turn took.
type cost struct {
	took               time.Duration
	clickhouse, detect time.Duration // CPU
	rss                int64         // of "custody detect"
	caughtUp           time.Duration // how long after the events' end all was taken in; passes let a minute of storing rest for two
}

// Rules measures what the passes and the rules of "custody detect" take while events
// come at a steady rate: the CPU of that program and what ClickHouse takes more than
// in a turn without it, as shares of a core while the events came. Passes let a minute of
// storing rest, so with CatchUp a turn lasts until they have taken in all of it.
func Rules(ctx context.Context, cfg Config) (_ []Figure, err error) {
	if cfg.Rate <= 0 || cfg.Duration <= 0 {
		return nil, errors.New("rules: Rate and Duration are required")
	}
	cfg.Events, cfg.Rounds = cfg.Rate, 1
	r, err := start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	var costs [rules + 1]*cost
	for turn := range costs {
		if costs[turn], err = r.costOf(ctx, beside(turn)); err != nil {
			return nil, err
		}
	}
	share := func(d time.Duration) float64 { return d.Seconds() / costs[nothing].took.Seconds() }
	total := func(a, b *cost) float64 { return share(a.clickhouse - b.clickhouse + a.detect - b.detect) }
	return []Figure{
		plain("passes_cpu", total(costs[passes], costs[nothing]), "cores"),
		plain("rules_cpu", total(costs[rules], costs[passes]), "cores"),
		plain("detect_cpu", share(costs[rules].detect), "cores"),
		plain("storing_cpu", share(costs[nothing].clickhouse), "cores"),
		plain("detect_rss", float64(costs[rules].rss)/(1<<20), "MiB"),
		plain("passes_caught_up", costs[rules].caughtUp.Seconds(), "s"),
	}, nil
}

func plain(name string, value float64, unit string) Figure {
	return Figure{Name: name, Value: round(value), Unit: unit}
}

// costOf is a turn, in an empty database.
func (r *runner) costOf(ctx context.Context, with beside) (_ *cost, err error) {
	prefix := fmt.Sprintf("beside-%d.", with)
	c := r.custody(prefix)
	if err := r.fresh(ctx, c); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	before, err := r.servers()
	if err != nil {
		return nil, err
	}
	got, began := &cost{}, time.Now()
	var detector *process.Process
	if with > nothing {
		if detector, err = r.detector(with); err != nil {
			return nil, err
		}
	}
	_, _, err = r.atRate(ctx, c, prefix)
	got.took = time.Since(began)
	if err == nil && detector != nil && r.cfg.CatchUp {
		got.caughtUp, err = r.caughtUp(ctx)
	}
	if detector != nil {
		used, stopErr := detector.Stop(syscall.SIGTERM)
		got.detect, got.rss, err = used.CPU, used.RSS, errors.Join(err, stopErr)
	}
	if err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	after, err := r.servers()
	got.clickhouse = after[0] - before[0]
	r.say("turn %d: %.0f s, CPU of ClickHouse %.1f s, of the detections %.1f s, all taken in after %.0f s", with, got.took.Seconds(), got.clickhouse.Seconds(), got.detect.Seconds(), got.caughtUp.Seconds())
	return got, errors.Join(err, r.drop(ctx, c.database))
}

// detector starts "custody detect".
func (r *runner) detector(with beside) (*process.Process, error) {
	password, err := r.password(embedded.Detector)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(r.dir, fmt.Sprintf("rules-%d", with))
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	if with == passes {
		if err := disableRules(folder); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(r.dir, "detect.yaml")
	text := fmt.Sprintf(detectConfig, r.engine.Addr(), embedded.Detector, password, folder)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return process.Start(r.dir, "custody-detect", false, process.Command{Path: r.cfg.Self, Args: []string{"detect", "--config", config}})
}

func disableRules(folder string) error {
	all, err := detect.Builtin()
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, rule := range all {
		fmt.Fprintf(&text, "%s: {disabled: true}\n", rule.ID)
	}
	return os.WriteFile(filepath.Join(folder, detect.OverridesFile), []byte(text.String()), 0o600)
}

// patience is how long passes may take after the events' end.
const patience = 15 * time.Minute

// caughtUp waits until every pass has taken in what is stored, and says how long that
// was: what they let rest is part of what they cost.
func (r *runner) caughtUp(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for time.Since(began) < patience {
		var all bool
		if err := r.admin.QueryRow(ctx, "SELECT (SELECT min(mark) FROM (SELECT max(watermark) AS mark FROM custody.pass_progress WHERE pass != ? GROUP BY pass)) > (SELECT max(stored_time) FROM custody.records)", enrich.NameReachDays).Scan(&all); err != nil || all {
			return time.Since(began), err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return 0, fmt.Errorf("rules: the passes did not take in what is stored within %s: the machine does not keep up with %d events a second", patience, r.cfg.Rate)
}
