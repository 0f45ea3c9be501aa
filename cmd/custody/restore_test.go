package main

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/story"
)

// guarded is an installation of which the tables are copied and put back, as BACKUP
// and RESTORE do, which this engine allows nobody.
type guarded struct {
	t       *testing.T
	servers *testServers
	admin   driver.Conn
	process []string
	written int
}

func (g *guarded) exec(sql string) {
	g.t.Helper()
	if err := g.admin.Exec(g.t.Context(), sql); err != nil {
		g.t.Fatalf("%s: %v", sql, err)
	}
}

// tables are those that hold something.
func (g *guarded) tables() (names []string) {
	g.t.Helper()
	if err := g.admin.QueryRow(g.t.Context(), "SELECT groupArray(name) FROM system.tables WHERE database = 'custody' AND engine LIKE '%MergeTree'").Scan(&names); err != nil || len(names) < 20 {
		g.t.Fatalf("%d tables: %v", len(names), err)
	}
	return names
}

func (g *guarded) backup() {
	g.exec("CREATE DATABASE backup ENGINE = Atomic")
	for _, name := range g.tables() {
		g.exec("CREATE TABLE backup." + name + " AS custody." + name)
		g.exec("ALTER TABLE backup." + name + " ATTACH PARTITION ALL FROM custody." + name)
	}
}

func (g *guarded) restore() {
	for _, name := range g.tables() {
		g.exec("TRUNCATE TABLE custody." + name)
		g.exec("ALTER TABLE custody." + name + " ATTACH PARTITION ALL FROM backup." + name)
	}
}

// write puts a part of the story into the log.
func (g *guarded) write(from, to float64) {
	g.t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(g.servers.broker.Addr()), Topic: "custody.events", Balancer: &kafka.Murmur2Balancer{Consistent: true}, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, Transport: &kafka.Transport{}}
	defer w.Close()
	events := story.Events()
	for _, e := range events[int(from*float64(len(events))):int(to*float64(len(events)))] {
		if err := w.WriteMessages(g.t.Context(), kafka.Message{Key: []byte(e.Correlation.TraceID), Value: e.Canonical()}); err != nil {
			g.t.Fatal(err)
		}
		g.written++
	}
}

// processed lets a processor run until everything that was written is stored, each
// record once and all of a partition in one tree.
func (g *guarded) processed() {
	g.t.Helper()
	var log output
	p := startLogged(g.t, &log, "processor consumes", g.process...)
	eventually(g.t, 2*time.Minute, "everything is stored, and Kafka told", func(ctx context.Context) bool {
		var rows uint64
		return g.admin.QueryRow(ctx, "SELECT count() FROM custody.records").Scan(&rows) == nil && int(rows) >= g.written && g.committed(ctx)
	})
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	_ = p.Wait() // its log says why, if it is not well
	var rows, places, trees, partitions uint64
	err := g.admin.QueryRow(g.t.Context(), "SELECT count(), uniqExact(partition, offset), uniqExact(partition, epoch), uniqExact(partition) FROM custody.records").Scan(&rows, &places, &trees, &partitions)
	if err != nil || int(rows) != g.written || places != rows || trees != partitions {
		g.t.Fatalf("%d written: %d rows at %d places, %d trees of %d partitions, %v\n%s", g.written, rows, places, trees, partitions, err, log.String())
	}
}

// committed tells whether the end of the log is committed, with no intent open: rows are
// stored before that, and signed after it.
func (g *guarded) committed(ctx context.Context) bool {
	c := &kafka.Client{Addr: kafka.TCP(g.servers.broker.Addr())}
	got, err := c.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "custody-processor", Topics: map[string][]int{"custody.events": {0, 1, 2, 3}}})
	if err != nil || got.Error != nil {
		return false
	}
	sum := 0
	for _, p := range got.Topics["custody.events"] {
		if p.Error != nil || strings.Contains(p.Metadata, " end=") {
			return false
		}
		sum += int(max(p.CommittedOffset, 0))
	}
	return sum == g.written
}

// A backup with its offsets is restored, and what came since is read again into the
// same trees: nothing is missing of what was sealed.
func TestRestoredWithOffsets(t *testing.T) {
	t.Parallel()
	servers, dir := startServers(t), t.TempDir()
	ask(t, append([]string{"schema", "migrate"}, servers.flags(t, embedded.Admin)...)...)
	admin, err := embeddedtest.Open(servers.engine.Addr(), embedded.Admin, servers.engine.Password(embedded.Admin), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	key := filepath.Join(dir, "key")
	public := strings.TrimSpace(ask(t, "seal", "keygen", "custody.example/restored", "--seal-key-file", key))
	public = public[strings.LastIndex(public, "\n")+1:]
	g := &guarded{t: t, servers: servers, admin: admin, process: append([]string{"process", "--telemetry-address", "", "--seal-key-file", key, "--seal-dir", dir}, servers.flags(t, embedded.Writer)...)}
	offsets := func(verb string) {
		ask(t, "offsets", verb, filepath.Join(dir, "offsets.json"), "--kafka-brokers", servers.broker.Addr())
	}
	g.write(0, 0.5)
	g.processed()
	offsets("save")
	g.backup()
	g.write(0.5, 1)
	g.processed()
	g.restore()
	offsets("restore")
	g.processed()
	out := ask(t, append([]string{"reconcile", "--once", "--seal-dir", dir, "--seal-trust", public}, servers.flags(t, embedded.Detector)[2:]...)...) // without Kafka
	if !strings.Contains(out, "of 4 trees") || !strings.Contains(out, " 0 discrepancies") {
		t.Error(out)
	}
}
