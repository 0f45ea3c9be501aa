package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/custody-audit/custody/processor"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/topic"
)

func newProcess(a *app) *cobra.Command {
	return takes(&cobra.Command{
		Use:   "process",
		Short: "Run a processor: store the events of Kafka in ClickHouse, each exactly once in effect",
		Long: `Consumes custody.events as a member of a consumer group and stores each block under a fenced intent
(docs/adr/0003-fenced-intent.md). Any number may run, up to one per partition; it may be killed at any time.`,
		Example: "  custody process --kafka-brokers kafka-1:9092 --clickhouse-addresses ch-1:9000 --clickhouse-user custody_writer",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limitMemory(a.config.Processor.Blocks)
			tel, err := startTelemetry(cmd.Context(), &a.config.Telemetry, "process")
			if err != nil {
				return err
			}
			p, err := startProcessor(cmd.Context(), a, tel)
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "processor consumes as group %s. Stop with Ctrl-C.\n", a.config.Processor.Group)
				err = errors.Join(p.wait(cmd.Context()), p.close())
			}
			return errors.Join(err, tel.close())
		},
	}, "kafka", "clickhouse", "processor", "seal", "telemetry")
}

// limitMemory lets the garbage collector work harder when a processor that is
// only a processor comes near what its blocks, ids and fetches need; GOMEMLIMIT
// says otherwise.
func limitMemory(blocks int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(160<<20 + int64(blocks)*110<<20)
	}
}

// processorService is a processor that runs.
type processorService struct {
	stop  context.CancelFunc
	ended chan struct{} // closed when it is gone; then err is set
	err   error
}

func startProcessor(ctx context.Context, a *app, tel *telemetry) (*processorService, error) {
	c := a.config
	if err := c.Kafka.check(ctx); err != nil {
		return nil, err
	}
	conn, err := c.ClickHouse.connect(c.ClickHouse.Database)
	if err != nil {
		return nil, err
	}
	registry, err := enrich.NewLoader(ctx, enrich.LoaderConfig{Path: c.Processor.Registry, ClickHouse: conn, Logger: a.logger, Meter: tel.meter("enrich")})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	dial, err := c.ClickHouse.dialer(c.ClickHouse.Database)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	sealer, err := newSealer(a, conn, tel)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	cfg := processor.Config{
		Kafka: c.Kafka.reach(), Topic: topic.Name(c.Kafka.TopicPrefix, topic.Events), DeadLetter: topic.Name(c.Kafka.TopicPrefix, topic.DeadLetter),
		Group: c.Processor.Group, ClickHouse: conn, Dial: dial, Cluster: c.ClickHouse.Cluster, Registry: registry,
		BlockRecords: c.Processor.BlockRecords, Blocks: c.Processor.Blocks, BlockWait: c.Processor.BlockWait, SessionTimeout: c.Processor.SessionTimeout,
		Logger: a.logger, Meter: tel.meter("processor"), Tracer: tel.tracer("processor"),
	}
	if sealer != nil {
		cfg.Sealer = sealer
	}
	p, err := processor.New(cfg)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	tel.readiness("clickhouse", conn.Ping)
	running, stop := context.WithCancel(context.Background())
	s := &processorService{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		looked, sealed := make(chan error, 1), make(chan error, 1)
		stored, end := context.WithCancel(context.Background())
		go func() { looked <- registry.Run(running) }()
		go func() { sealed <- runSealer(stored, sealer) }()
		err := p.Run(running)
		stop() // it may have ended by itself
		end()  // after the last block
		s.err = errors.Join(err, <-looked, <-sealed, conn.Close())
	}()
	return s, nil
}

// wait blocks until ctx is done or the processor ends by itself.
func (s *processorService) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-s.ended:
	}
	return nil // close returns the error
}

// close waits until what is being inserted has an outcome.
func (s *processorService) close() error {
	s.stop()
	<-s.ended
	if s.err != nil {
		return fmt.Errorf("processor: %w", s.err)
	}
	return nil
}
