package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/privilege"
	"github.com/custody-audit/custody/processor/verdict"
)

func newDetect(a *app) *cobra.Command {
	var once bool
	c := takes(&cobra.Command{
		Use:   "detect",
		Short: "Run the detections: judge what is stored and keep what they find",
		Long: `Runs the rules of docs/detections.md over ClickHouse in rounds, and the later passes of the enrichment: the lineage of
tokens, since when who was seen with what, and the verdicts about calls. One is enough for an installation; two do no harm but
do the work twice. It may be killed at any time and goes on where it was. "custody run" does this too.`,
		Example: "  custody detect --clickhouse-addresses ch-1:9000 --clickhouse-user custody_detector\n  custody detect --once --clickhouse-addresses ch-1:9000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "detect")
			if err != nil {
				return err
			}
			d, err := startDetector(a, tel, !once)
			if err != nil {
				return errors.Join(err, tel.close())
			}
			if once {
				err = writeRound(cmd, d)
			} else {
				fmt.Fprintln(cmd.ErrOrStderr(), "detections run. Stop with Ctrl-C.")
				<-cmd.Context().Done()
			}
			return errors.Join(err, d.close(), tel.close())
		},
	}, "clickhouse", "detect", "telemetry")
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
	ended  chan error
}

// startDetector connects; with rounds it also begins to work by itself.
func startDetector(a *app, tel *telemetry, rounds bool) (*detectorService, error) {
	set, err := detect.ReadSet(a.config.Detect.Rules)
	if err != nil {
		return nil, fmt.Errorf("detect.rules: %w", err)
	}
	conn, err := a.config.ClickHouse.connect(a.config.ClickHouse.Database)
	if err != nil {
		return nil, err
	}
	rules, err1 := detect.New(detect.Config{ClickHouse: conn, Rules: set.Active(), Parameters: set.Parameters(set.Active()), Interval: a.config.Detect.Interval, Logger: a.logger, Meter: tel.meter("detect")})
	passes, err2 := newPasses(a, conn, tel)
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &detectorService{rules, passes, stop, make(chan error, 1)}
	go func() {
		if rounds {
			group, both := errgroup.WithContext(ctx)
			group.Go(func() error { return passes.Run(both) })
			group.Go(func() error { return rules.Run(both) })
			err = group.Wait()
		} else {
			<-ctx.Done()
		}
		s.ended <- errors.Join(err, conn.Close())
	}()
	return s, nil
}

// newPasses are the later passes of the enrichment, and the verdicts; tel may be nil.
func newPasses(a *app, conn driver.Conn, tel *telemetry) (*enrich.Engine, error) {
	v, c := verdict.Config{ClickHouse: conn}, enrich.EngineConfig{ClickHouse: conn, Interval: a.config.Detect.Interval, Logger: a.logger}
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
	if err := <-s.ended; err != nil {
		return fmt.Errorf("detections: %w", err)
	}
	return nil
}
