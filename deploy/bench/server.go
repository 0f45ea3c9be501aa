package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/process"
)

// RunBroker is the broker's process: it says its address on out and ends when in
// does, which is at the latest when its parent dies.
func RunBroker(cfg embedded.BrokerConfig, in io.Reader, out io.Writer) error {
	broker, err := embedded.StartBroker(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, broker.Addr())
	io.Copy(io.Discard, in)
	return broker.Close()
}

// estate is the broker and the ClickHouse that all contenders share.
type estate struct {
	dir    string
	broker *process.Process
	client *kafka.Client
	engine *embedded.Engine
	admin  driver.Conn
}

// kafkaAddr is the broker's bootstrap address.
func (s *estate) kafkaAddr() string { return s.broker.First }

func startEstate(ctx context.Context, self string) (_ *estate, err error) {
	s := &estate{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "custody-bench-"); err != nil {
		return nil, err
	}
	if s.broker, err = process.Start(s.dir, "broker", true, process.Command{Path: self, Args: []string{"bench", "broker", "--dir", filepath.Join(s.dir, "kafka")}}); err != nil {
		return nil, err
	}
	s.client = &kafka.Client{Addr: kafka.TCP(s.kafkaAddr()), Timeout: 30 * time.Second, Transport: &kafka.Transport{ClientID: "custody-bench"}}
	binary, err := embedded.EnsureEngine(ctx)
	if err != nil {
		return nil, err
	}
	s.engine, err = embedded.StartEngine(ctx, embedded.EngineConfig{Dir: filepath.Join(s.dir, "clickhouse"), Binary: binary, Logger: slog.Default()})
	if err != nil {
		return nil, err
	}
	s.admin, err = s.open("")
	return s, err
}

func (s *estate) open(database string) (driver.Conn, error) {
	return s.openAs(embedded.Admin, database)
}

func (s *estate) openAs(user, database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.engine.Addr()}, Auth: clickhouse.Auth{Username: user, Password: s.engine.Password(user), Database: database},
		DialTimeout: 5 * time.Second, ReadTimeout: time.Hour, // copying 100 million rows is one query
	})
}

// empty makes a database anew.
func (s *estate) empty(ctx context.Context, database string) error {
	if err := s.drop(ctx, database); err != nil {
		return err
	}
	if err := s.admin.Exec(ctx, "CREATE DATABASE "+database+" ENGINE = Atomic"); err != nil {
		return fmt.Errorf("create database %s: %w", database, err)
	}
	return nil
}

func (s *estate) drop(ctx context.Context, database string) error {
	if err := s.admin.Exec(ctx, "DROP DATABASE IF EXISTS "+database+" SYNC"); err != nil {
		return fmt.Errorf("drop database %s: %w", database, err)
	}
	return nil
}

// password writes a user's password to a file, as a configuration wants it.
func (s *estate) password(user string) (string, error) {
	name := filepath.Join(s.dir, user)
	return name, os.WriteFile(name, []byte(s.engine.Password(user)), 0o600)
}

// settle returns when ClickHouse merges nothing: what it still does belongs to
// whoever made it do so, and must not burden the next.
func (s *estate) settle(ctx context.Context) error {
	quiet := 0
	for quiet < 5 {
		var merges uint64
		if err := s.admin.QueryRow(ctx, "SELECT count() FROM system.merges").Scan(&merges); err != nil {
			return fmt.Errorf("look for merges: %w", err)
		}
		if quiet++; merges > 0 {
			quiet = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// close stops everything and removes what it left on disk.
func (s *estate) close() error {
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.admin.Close())
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Close())
	}
	if s.broker != nil {
		_, err := s.broker.Stop(syscall.SIGTERM)
		errs = append(errs, err)
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
