package processor_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
	"github.com/custody-audit/custody/schemas/topic"
)

// With these set, the test binary is a processor that somebody will kill.
const (
	workerBroker     = "CUSTODY_TEST_WORKER_BROKER"
	workerClickHouse = "CUSTODY_TEST_WORKER_CLICKHOUSE"
	workerPassword   = "CUSTODY_TEST_WORKER_PASSWORD"
)

func TestMain(m *testing.M) {
	if broker := os.Getenv(workerBroker); broker != "" {
		err := work(context.Background(), broker, os.Getenv(workerClickHouse), os.Getenv(workerPassword))
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func open(addr, user, password, database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{Addr: []string{addr}, Auth: clickhouse.Auth{Username: user, Password: password, Database: database}})
}

func work(ctx context.Context, broker, clickHouse, password string) error {
	conn, err := open(clickHouse, embedded.Writer, password, "custody")
	if err != nil {
		return err
	}
	defer conn.Close()
	p, err := processor.New(processor.Config{
		Brokers: []string{broker}, Topic: topic.Events, DeadLetter: topic.DeadLetter, ClickHouse: conn,
		BlockRecords: 97, BlockWait: 20 * time.Millisecond, SessionTimeout: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// pipeline is a real broker and a real ClickHouse with topics and tables.
type pipeline struct {
	t      *testing.T
	broker *embedded.Broker
	engine *embedded.Engine
	admin  driver.Conn
	writer *kafka.Writer
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	binary, err := embedded.EnsureEngine(t.Context())
	must(err)
	engine, err := embedded.StartEngine(t.Context(), embedded.EngineConfig{Dir: t.TempDir(), Binary: binary, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	t.Cleanup(func() { engine.Close() })
	broker, err := embedded.StartBroker(embedded.BrokerConfig{Dir: t.TempDir()})
	must(err)
	t.Cleanup(func() { broker.Close() })
	outside, err := open(engine.Addr(), embedded.Admin, engine.Password(embedded.Admin), "")
	must(err)
	must(outside.Exec(t.Context(), "CREATE DATABASE custody ENGINE = Atomic"))
	must(outside.Close())
	admin, err := open(engine.Addr(), embedded.Admin, engine.Password(embedded.Admin), "custody")
	must(err)
	t.Cleanup(func() { admin.Close() })
	_, err = table.Migrate(t.Context(), admin)
	must(err)
	_, err = topic.Migrate(t.Context(), &kafka.Client{Addr: kafka.TCP(broker.Addr())}, topic.Layout{Partitions: 2, Replication: 1})
	must(err)
	w := &kafka.Writer{Addr: kafka.TCP(broker.Addr()), Topic: topic.Events, Balancer: &kafka.Murmur2Balancer{Consistent: true}, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	t.Cleanup(func() { w.Close() })
	return &pipeline{t, broker, engine, admin, w}
}

func (p *pipeline) publish(messages ...kafka.Message) {
	p.t.Helper()
	if err := p.writer.WriteMessages(p.t.Context(), messages...); err != nil {
		p.t.Fatal(err)
	}
}

func message(e *event.Event) kafka.Message { return topic.Message("", e, e.Canonical(), "") }

// count returns the answer of a query that counts.
func (p *pipeline) count(sql string) uint64 {
	p.t.Helper()
	var n int64
	if err := p.admin.QueryRow(p.t.Context(), "SELECT toInt64(("+sql+"))").Scan(&n); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
	return uint64(n)
}

// await waits until records has n rows.
func (p *pipeline) await(n uint64) {
	p.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if p.count("SELECT count() FROM records") >= n {
			return
		}
	}
	p.t.Fatalf("records has %d rows, want %d", p.count("SELECT count() FROM records"), n)
}

// start runs a processor until the returned function is called.
func (p *pipeline) start() (stop func()) {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- work(ctx, p.broker.Addr(), p.engine.Addr(), p.engine.Password(embedded.Writer)) }()
	return func() {
		p.t.Helper()
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	}
}

// Every record becomes one row with the right state, and a restart changes nothing.
func TestStates(t *testing.T) {
	p := newPipeline(t)
	n := uint64(0)
	for _, e := range story.Events() {
		p.publish(message(e))
		n++
	}
	forged := story.Named("deploy-call")
	forged.Outcome = event.Denied
	again := story.Named("deploy-call")
	again.Salt = event.NewSalt()
	p.publish(message(forged), message(again), kafka.Message{Key: []byte("x"), Value: []byte(`{"kind":"nonsense"}`)})
	n += 3
	for range 2 {
		stop := p.start()
		p.await(n)
		stop()
	}
	got := map[string]uint64{}
	for _, state := range []string{"stored", "duplicate", "conflict", "malformed"} {
		got[state] = p.count("SELECT count() FROM records WHERE state = '" + state + "'")
	}
	// The story holds one re-delivery of its own.
	if diff := cmp.Diff(map[string]uint64{"stored": n - 4, "duplicate": 2, "conflict": 1, "malformed": 1}, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	p.consistent()
}

// consistent checks what must hold after anything.
func (p *pipeline) consistent() {
	p.t.Helper()
	for _, c := range []struct{ name, sql string }{
		{"records twice", "SELECT count() - uniqExact(partition, offset) FROM records"},
		{"epochs per partition beyond one", "SELECT uniqExact(epoch, partition) - uniqExact(partition) FROM records"},
		{"token uses that differ from the records", "SELECT toUInt64(abs(toInt64((SELECT countIf(token_ref != '') + countIf(exchange_issued_token_ref != '') FROM records WHERE state = 'stored')) - toInt64((SELECT count() FROM token_use))))"},
		{"edges that differ between the two orders", "SELECT toUInt64(abs(toInt64((SELECT count() FROM token_edges)) - toInt64((SELECT count() FROM token_edges_by_parent))))"},
		{"edges twice", "SELECT count() - uniqExact(epoch, partition, offset, role) FROM token_edges"},
	} {
		if n := p.count(c.sql); n != 0 {
			p.t.Errorf("%s: %d", c.name, n)
		}
	}
}

// A processor that is killed again and again loses nothing and doubles nothing.
func TestKilledProcessor(t *testing.T) {
	p := newPipeline(t)
	base := story.Events()
	var sent uint64
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), workerBroker+"="+p.broker.Addr(), workerClickHouse+"="+p.engine.Addr(), workerPassword+"="+p.engine.Password(embedded.Writer))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var batch []kafka.Message
		for i := range 700 {
			e := *base[i%len(base)]
			e.Source.EventID = fmt.Sprintf("%d-%d", round, i)
			e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
			batch = append(batch, message(&e))
		}
		p.publish(batch...)
		sent += uint64(len(batch))
		time.Sleep(time.Duration(1500+round*170) * time.Millisecond) // where in its work the kill meets it must vary
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
	}
	stop := p.start()
	p.await(sent)
	stop()
	if n := p.count("SELECT uniqExact(id) FROM events"); n != sent {
		t.Errorf("%d events stored, %d sent", n, sent)
	}
	p.consistent()
}
