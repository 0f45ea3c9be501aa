package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/lease"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/verdict"
)

func newDetect(a *app) *cobra.Command {
	var once bool
	c := takes(&cobra.Command{
		Use:   "detect",
		Short: "Run the detections: judge what is stored and keep what they find",
		Long: `Runs the rules of docs/detections.md over ClickHouse in rounds, and the later passes of the enrichment: the lineage of
tokens, since when who was seen with what, and the verdicts about calls. Of several one works and the others stand by, when
kafka.brokers is set: a lease there says which, and another takes over some seconds after it is gone. Without it they all work,
which does no harm but is done twice. It may be killed at any time and goes on where it was. "custody run" does this too.`,
		Example: "  custody detect --clickhouse-addresses ch-1:9000 --clickhouse-user custody_detector --kafka-brokers kafka-1:9092\n  custody detect --once --clickhouse-addresses ch-1:9000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "detect")
			if err != nil {
				return err
			}
			var held *lease.Lease // whoever calls it once decides for itself
			if !once {
				if held, err = a.lease(cmd.Context(), "detect", tel); err != nil {
					return errors.Join(err, tel.close())
				}
			}
			d, err := startDetector(a, tel, !once, held)
			if err != nil {
				return errors.Join(err, tel.close())
			}
			if once {
				err = writeRound(cmd, d)
			} else {
				fmt.Fprintln(cmd.ErrOrStderr(), "detections run. Stop with Ctrl-C.")
				select {
				case <-cmd.Context().Done():
				case <-d.ended: // close says why
				}
			}
			return errors.Join(err, d.close(), tel.close())
		},
	}, "kafka", "clickhouse", "detect", "telemetry")
	c.Flags().BoolVar(&once, "once", false, "judge everything that is stored, say what changed as JSON, and end")
	return c
}

func writeRound(cmd *cobra.Command, d *detectorService) error {
	done, err := d.once(cmd.Context())
	if err != nil {
		return err
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
}

// detectorService is the detections and the later enrichment at work.
type detectorService struct {
	rules  *detect.Engine
	passes *enrich.Engine
	stop   context.CancelFunc
	ended  chan struct{}
	err    error // why; to be read when it has ended
}

// startDetector connects; with rounds it also begins to work by itself, with a
// lease only while that is held.
func startDetector(a *app, tel *telemetry, rounds bool, held *lease.Lease) (*detectorService, error) {
	set, err := detect.ReadSet(a.config.Detect.Rules)
	if err != nil {
		return nil, fmt.Errorf("detect.rules: %w", err)
	}
	conn, err := a.config.ClickHouse.asker(a.config.ClickHouse.Database)
	if err != nil {
		return nil, err
	}
	cfg := detect.Config{ClickHouse: conn, Sessions: conn.sessions, Rules: set.Active(), Parameters: set.Parameters(set.Active()), Interval: a.config.Detect.Interval, Logger: a.logger, Meter: tel.meter("detect")}
	if held != nil {
		cfg.Fence = held.Fence
	}
	rules, err1 := detect.New(cfg)
	passes, err2 := newPasses(a, conn, tel)
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &detectorService{rules: rules, passes: passes, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		var err error
		switch {
		case rounds && held != nil:
			err = held.Run(ctx, s.run)
		case rounds:
			err = s.run(ctx)
		default:
			<-ctx.Done()
		}
		s.err = errors.Join(err, conn.Close())
	}()
	return s, nil
}

// run works in rounds until ctx is done.
func (s *detectorService) run(ctx context.Context) error {
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return s.passes.Run(both) })
	group.Go(func() error { return s.rules.Run(both) })
	return group.Wait()
}

// newPasses are the later passes of the enrichment, and the verdicts; tel may be nil.
func newPasses(a *app, conn *asker, tel *telemetry) (*enrich.Engine, error) {
	v, c := verdict.Config{ClickHouse: conn, Sessions: conn.sessions}, enrich.EngineConfig{ClickHouse: conn, Interval: a.config.Detect.Interval, Logger: a.logger}
	if tel != nil {
		v.Meter, c.Meter = tel.meter("verdict"), tel.meter("enrich")
	}
	verdicts, err := verdict.New(v)
	if err != nil {
		return nil, err
	}
	privileges, err := privilege.New(privilege.Config{ClickHouse: conn})
	if err != nil {
		return nil, err
	}
	c.Passes = []enrich.Pass{{Name: "verdict", Take: verdicts.Take}, {Name: "privilege", Take: privileges.Take}}
	return enrich.NewEngine(c)
}

// once takes in and judges everything that is stored now.
func (s *detectorService) once(ctx context.Context) (detect.Result, error) {
	if err := s.passes.Once(ctx); err != nil {
		return detect.Result{}, fmt.Errorf("later enrichment: %w", err)
	}
	return s.rules.Once(ctx)
}

func (s *detectorService) close() error {
	s.stop()
	if <-s.ended; s.err != nil {
		return fmt.Errorf("detections: %w", s.err)
	}
	return nil
}
