package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

const (
	database = "custody"
	prefix   = "faults."
	group    = "faults.processor"
)

var eventsTopic, deadLetterTopic = topic.Name(prefix, topic.Events), topic.Name(prefix, topic.DeadLetter)

// estate is the servers, and the breakable ways to them.
type estate struct {
	dir        string
	disk       disk
	broker     *process.Process
	engine     *embedded.Engine
	kafka      *link
	clickhouse *link
	client     *kafka.Client // past the link
	admin      driver.Conn   // past the link
	partitions int
	logDir     string
}

// keep copies what a server said to the folder of logs.
func (e *estate) keep(name string) error {
	text, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.logDir, filepath.Base(name)), text, 0o600)
}

func startEstate(ctx context.Context, cfg *Config) (_ *estate, err error) {
	e := &estate{partitions: cfg.Partitions, logDir: cfg.LogDir}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.dir, err = os.MkdirTemp("", "custody-faults-"); err != nil {
		return nil, err
	}
	if e.kafka, err = newLink("kafka"); err != nil {
		return nil, err
	}
	if e.clickhouse, err = newLink("clickhouse"); err != nil {
		return nil, err
	}
	if err := e.startBroker(ctx, cfg); err != nil {
		return nil, err
	}
	return e, e.startEngine(ctx)
}

// startBroker starts a broker that tells its clients to use the link.
func (e *estate) startBroker(ctx context.Context, cfg *Config) (err error) {
	e.broker, err = process.Start(e.dir, "broker", true, process.Command{Path: cfg.Self,
		Args: []string{"bench", "broker", "--dir", filepath.Join(e.dir, "kafka"), "--advertise", e.kafka.addr()}})
	if err != nil {
		return err
	}
	if err := e.kafka.connect(e.broker.First); err != nil {
		return err
	}
	direct := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, e.broker.First)
	}
	e.client = &kafka.Client{Addr: kafka.TCP(e.broker.First), Timeout: 30 * time.Second, Transport: &kafka.Transport{ClientID: "custody-faults", Dial: direct}}
	_, err = topic.Migrate(ctx, e.client, topic.Layout{Prefix: prefix, Partitions: cfg.Partitions, Replication: 1})
	return err
}

func (e *estate) startEngine(ctx context.Context) error {
	binary, err := embedded.EnsureEngine(ctx)
	if err != nil {
		return err
	}
	data := filepath.Join(e.dir, "clickhouse")
	if err := e.disk.mount(data); err != nil {
		return err
	}
	e.engine, err = embedded.StartEngine(ctx, embedded.EngineConfig{Dir: data, Binary: binary, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := e.clickhouse.connect(e.engine.Addr()); err != nil {
		return err
	}
	if err := os.WriteFile(e.passwordFile(), []byte(e.engine.Password(embedded.Writer)), 0o600); err != nil {
		return err
	}
	if err := e.createDatabase(ctx); err != nil {
		return err
	}
	if e.admin, err = e.open(database); err != nil {
		return err
	}
	_, err = table.Migrate(ctx, e.admin)
	return err
}

func (e *estate) createDatabase(ctx context.Context) error {
	conn, err := e.open("")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Exec(ctx, "CREATE DATABASE "+database+" ENGINE = Atomic"); err != nil {
		return fmt.Errorf("create database %s: %w", database, err)
	}
	return nil
}

func (e *estate) open(database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr: []string{e.engine.Addr()}, Auth: clickhouse.Auth{Username: embedded.Admin, Password: e.engine.Password(embedded.Admin), Database: database},
		DialTimeout: 5 * time.Second, ReadTimeout: 10 * time.Minute,
	})
}

func (e *estate) passwordFile() string { return filepath.Join(e.dir, "password") }
func (e *estate) keyFile() string      { return filepath.Join(e.dir, "seal.key") }

// close stops everything and removes what it left on disk.
func (e *estate) close() error {
	var errs []error
	if e.admin != nil {
		errs = append(errs, e.admin.Close())
	}
	for _, l := range []*link{e.clickhouse, e.kafka} {
		if l != nil {
			l.close()
		}
	}
	if e.engine != nil {
		errs = append(errs, e.engine.Close())
	}
	if e.broker != nil {
		_, err := e.broker.Stop(syscall.SIGTERM)
		errs = append(errs, err)
	}
	if e.logDir != "" {
		errs = append(errs, e.keep("clickhouse/engine.log"), e.keep("clickhouse/engine.out"), e.keep("broker.log"))
	}
	errs = append(errs, e.disk.unmount())
	if e.dir != "" {
		errs = append(errs, os.RemoveAll(e.dir))
	}
	return errors.Join(errs...)
}
