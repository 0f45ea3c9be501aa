package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor/detect"
)

func newDetect(a *app) *cobra.Command {
	var once bool
	c := takes(&cobra.Command{
		Use:   "detect",
		Short: "Run the detections: judge what is stored and keep what they find",
		Long: `Runs the rules of docs/detections.md over ClickHouse in rounds. One is enough for an installation; two do no harm but do
the work twice. It may be killed at any time and goes on where it was. "custody run" does this too.`,
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
	done, err := d.engine.Once(cmd.Context())
	if err != nil {
		return err
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
}

// detectorService is an engine of detections that runs.
type detectorService struct {
	engine *detect.Engine
	stop   context.CancelFunc
	ended  chan error
}

// startDetector connects; with rounds it also begins to judge by itself.
func startDetector(a *app, tel *telemetry, rounds bool) (*detectorService, error) {
	conn, err := a.config.ClickHouse.connect(a.config.ClickHouse.Database)
	if err != nil {
		return nil, err
	}
	engine, err := detect.New(detect.Config{ClickHouse: conn, Interval: a.config.Detect.Interval, Logger: a.logger, Meter: tel.meter("detect")})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &detectorService{engine, stop, make(chan error, 1)}
	go func() {
		if rounds {
			err = engine.Run(ctx)
		} else {
			<-ctx.Done()
		}
		s.ended <- errors.Join(err, conn.Close())
	}()
	return s, nil
}

func (s *detectorService) close() error {
	s.stop()
	if err := <-s.ended; err != nil {
		return fmt.Errorf("detections: %w", err)
	}
	return nil
}
