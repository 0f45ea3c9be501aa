package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/processor/seal"
)

// retainerUser is who may delete in a local installation.
const retainerUser = embedded.Retainer

// retainerService is a retention that runs.
type retainerService struct {
	stop  context.CancelFunc
	ended chan error
}

func newRetainer(a *app, events retain.Recorder, tel *telemetry) (*retain.Retainer, driver.Conn, error) {
	c := a.config.Seal.of(a.config.DataDir)
	if c.KeyFile == "" {
		return nil, nil, errors.New("seal.key_file is not set: deletions are signed with the log's key, give its file with --seal-key-file")
	}
	key, err := seal.ReadKey(c.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	folder, ring, err := c.trusted()
	if err != nil {
		return nil, nil, err
	}
	if !key.Public().Equal(ring.Current()) {
		return nil, nil, fmt.Errorf("seal.key_file: the key of log %q was replaced by %s; configure that one", key.Name(), seal.VerifierKey(key.Name(), ring.Current()))
	}
	conn, err := a.config.ClickHouse.connect(a.config.ClickHouse.Database)
	if err != nil {
		return nil, nil, err
	}
	shards, err := a.config.ClickHouse.shards()
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	r, err := retain.New(retain.Config{ClickHouse: conn, Shards: shards, Key: key, Ring: ring, Folder: folder, Recorder: events, Interval: a.config.Retention.Interval, Logger: a.logger, Meter: tel.meter("retain")})
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return r, conn, nil
}

func startRetainer(a *app, events retain.Recorder, tel *telemetry) (*retainerService, error) {
	r, conn, err := newRetainer(a, events, tel)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &retainerService{stop, make(chan error, 1)}
	go func() { s.ended <- errors.Join(r.Run(ctx), conn.Close()) }()
	return s, nil
}

func (s *retainerService) close() error {
	s.stop()
	if err := <-s.ended; err != nil {
		return fmt.Errorf("retention: %w", err)
	}
	return nil
}
