package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/spool"
)

// kafkaPatience is how long a request waits for Kafka before its events go to
// the spool.
const kafkaPatience = 2 * time.Second

// spoolService is the running spool of a collector.
type spoolService struct {
	*spool.Spool
	stop context.CancelFunc
	done chan error
}

// startSpool puts the spool before Kafka. Without one, a source hears that Kafka
// is away and keeps its events itself.
func startSpool(a *app, kafka *collector.KafkaPublisher, tel *telemetry) (*spoolService, error) {
	c := a.config.Collector.Spool
	dir := c.Dir
	if dir == "" {
		dir = filepath.Join(a.config.DataDir, "spool")
	}
	s, err := spool.Open(spool.Config{Dir: dir, Next: kafka, MaxBytes: c.MaxBytes, MinFreeBytes: c.MinFreeBytes, Logger: a.logger, Meter: tel.meter("collector/spool")})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	out := &spoolService{Spool: s, stop: stop, done: make(chan error, 1)}
	go func() { out.done <- s.Run(ctx) }()
	tel.readiness("kafka_or_spool", func(ctx context.Context) error {
		if away := kafka.Ready(ctx); away != nil && s.Full() {
			return away
		}
		return nil
	})
	return out, nil
}

// close returns when what was acknowledged is in Kafka or on disk.
func (s *spoolService) close() error {
	s.stop()
	return <-s.done
}
