package retain_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/reconcile"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/event"
)

const logName = "audit.example/custody"

// bench is a real ClickHouse with sealed records of two tenants in one partition, of
// which the first half came 40 days ago.
type bench struct {
	*testing.T
	conn          func(user string) driver.Conn
	shards        func(context.Context) ([]driver.Conn, error) // of a cluster
	tree          seal.Tree
	chunk         uint64 // of one statement
	writer, admin driver.Conn
	folder        *seal.Folder
	key           *seal.Key
	ring          *seal.Keyring
	sealer        *seal.Sealer
	edge          seal.Edge
	recorded      []*event.Event
	onRecord      func() error
}

var tree = seal.Tree{Topic: "custody.events", Partition: 1, Epoch: "000000000000000a", Base: 100}

const half = 600

func newBench(t *testing.T) *bench {
	t.Helper()
	b := newBenchOn(t, embeddedtest.StartClickHouse(t, "acme", "globex").Conn)
	now := time.Now()
	b.store(half, now.AddDate(0, 0, -40))
	b.store(half, now)
	return b
}

// newBenchOn has no records yet.
func newBenchOn(t *testing.T, conn func(user string) driver.Conn) *bench {
	t.Helper()
	b := &bench{T: t, conn: conn, tree: tree, chunk: 100, writer: conn(embedded.Writer), admin: conn(embedded.Admin)}
	var err1, err2, err3, err4 error
	b.key, err1 = seal.CreateKey(filepath.Join(t.TempDir(), "key"), logName)
	b.folder, err2 = seal.OpenFolder(t.TempDir())
	if b.ring, err3 = b.folder.Keyring(logName, b.key.Public()); err3 == nil {
		b.sealer, err4 = seal.New(seal.Config{ClickHouse: b.writer, Key: b.key, Folder: b.folder, Logger: slog.New(slog.DiscardHandler)})
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return b
}

// of says whose record an offset is: every second of acme, every third of alice.
func of(offset uint64) (tenant, subject, kind string) {
	return []string{"acme", "globex"}[offset%2], []string{"alice", "bob", "carol"}[offset%3], []string{"tool_invocation", "session"}[offset/2%2]
}

// store adds records of a time, and seals them.
func (b *bench) store(n uint64, at time.Time) {
	b.Helper()
	batch, err := b.writer.PrepareBatch(b.Context(), "INSERT INTO records (topic, epoch, partition, offset, log_time, time, state, leaf_hash, raw, tenant, id, kind, type, subject_sub, token_ref)")
	if err != nil {
		b.Fatal(err)
	}
	from := b.edge.Size()
	var nodes []seal.Node
	for range n {
		offset := b.tree.Base + b.edge.Size()
		tenant, subject, kind := of(offset)
		raw := fmt.Sprintf(`{"record":%d}`, offset)
		leaf := tlog.RecordHash([]byte(raw))
		if err := batch.Append(b.tree.Topic, b.tree.Epoch, uint32(b.tree.Partition), offset, at, at, "stored", string(leaf[:]), raw, tenant, uuid.NewSHA1(uuid.Nil, []byte(raw)), kind, kind+".x", subject, fmt.Sprint("token ", offset)); err != nil {
			b.Fatal(err)
		}
		nodes = b.edge.Append(leaf, nodes)
	}
	if err := batch.Send(); err != nil {
		b.Fatal(err)
	}
	b.sealer.Grown(b.tree, from, &b.edge, nodes)
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	if err := b.sealer.Run(ended); err != nil { // signs once and ends
		b.Fatal(err)
	}
}

// Record implements [retain.Recorder].
func (b *bench) Record(_ context.Context, e *event.Event) error {
	x := *e // as the collector completes it
	x.SchemaVersion, x.ObservedTime, x.Salt, x.Source.ID, x.Source.Type = event.SchemaVersion, event.TimeOf(time.Now()), event.NewSalt(), retain.Source, retain.Source
	x.ID = event.NewID(x.Tenant, retain.Source, x.Source.EventID, x.Time)
	if err := x.Validate(); err != nil {
		return err
	}
	b.recorded = append(b.recorded, e)
	if b.onRecord != nil {
		return b.onRecord()
	}
	return nil
}

// say makes an act, as the API does, and stores its event unless it is still on its
// way.
func (b *bench) say(a retain.Act, arrived bool) *retain.Act {
	b.Helper()
	a.ID, a.EventID, a.Time, a.ActorSub, a.Reason = uuid.New(), uuid.New(), time.Now().UTC().Truncate(time.Microsecond), "root", "because"
	if err := errors.Join(a.Check(), retain.Append(b.Context(), b.conn(embedded.Handler), &a)); err != nil {
		b.Fatal(err)
	}
	if arrived {
		b.arrive(&a)
	}
	return &a
}

// arrive stores an act's event, in a partition that is not looked at here.
func (b *bench) arrive(a *retain.Act) {
	b.Helper()
	batch, err := b.writer.PrepareBatch(b.Context(), "INSERT INTO records (topic, epoch, partition, log_time, time, state, tenant, id, kind, type, source_id, source_event_id, outcome, attributes)")
	if err == nil {
		err = batch.Append("custody.acts", "acts", uint32(0), a.Time, a.Time, "stored", a.Tenant, a.EventID, "session", retain.TypeChange, retain.Source, a.ID.String(), "success", a.Attributes())
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) pass() (*retain.Report, error) {
	b.Helper()
	r, err := retain.New(retain.Config{ClickHouse: b.conn(embedded.Retainer), Shards: b.shards, Key: b.key, Ring: b.ring, Folder: b.folder, Recorder: b, Step: 70, Chunk: b.chunk, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return r.Once(b.Context())
}

// deletes runs a pass that deletes so many records and leaves others on hold.
func (b *bench) deletes(deleted, held uint64) *retain.Report {
	b.Helper()
	rep, err := b.pass()
	if err != nil {
		b.Fatal(err)
	}
	if rep.Deleted != deleted || rep.Held != held {
		b.Fatalf("%d deleted, %d on hold; want %d and %d", rep.Deleted, rep.Held, deleted, held)
	}
	return rep
}

// expected counts the offsets of the first half that match.
func expected(match func(tenant, subject, kind string) bool) (n uint64) {
	for offset := tree.Base; offset < tree.Base+half; offset++ {
		if match(of(offset)) {
			n++
		}
	}
	return n
}

func (b *bench) count(sql string) (n uint64) {
	b.Helper()
	if err := b.admin.QueryRow(b.Context(), sql).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

func (b *bench) do(sql string) {
	b.Helper()
	if err := b.admin.Exec(b.Context(), sql); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// signed is the first signed record.
func (b *bench) signed() *seal.Retention {
	b.Helper()
	list, err := seal.NewStore(b.writer).Retentions(b.Context(), b.ring, nil)
	if err != nil || len(list) == 0 {
		b.Fatalf("%d records: %v", len(list), err)
	}
	first := list[0].Retention
	for _, s := range list {
		if s.First < first.First {
			first = s.Retention
		}
	}
	return first
}

// kinds counts what a cycle finds of the tree.
func (b *bench) kinds() map[reconcile.Kind]int {
	b.Helper()
	out := map[reconcile.Kind]int{}
	for _, d := range b.cycle() {
		out[d.Kind]++
	}
	return out
}

// cycle runs one full cycle of somebody who was not there before.
func (b *bench) cycle() (found []reconcile.Discrepancy) {
	b.Helper()
	r, err := reconcile.New(reconcile.Config{ClickHouse: b.conn(embedded.Detector), Ring: b.ring, Folder: b.folder, Step: 300, Logger: slog.New(slog.DiscardHandler), ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	rep, err := r.Once(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range rep.Discrepancies {
		if d.Topic == tree.Topic {
			found = append(found, d)
		}
	}
	return found
}

// reconciles compares what a cycle finds.
func (b *bench) reconciles(name string, want ...string) {
	b.Helper()
	got := []string{}
	for _, d := range b.cycle() {
		got = append(got, fmt.Sprintf("%s %d-%d", d.Kind, d.From, d.Last()))
	}
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("%s (-want +found):\n%s", name, diff)
	}
}
