package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/reconcile"
	"github.com/custody-audit/custody/processor/seal"
)

const logName = "audit.example/custody"

// bench is a real ClickHouse with sealed records of some partitions.
type bench struct {
	*testing.T
	clickhouse *embeddedtest.ClickHouse
	writer     driver.Conn
	admin      driver.Conn
	dir, first string // of checkpoints, and the one before
	forge      uint64 // leaf that is stored otherwise than it is sealed
	folder     *seal.Folder
	key        *seal.Key
	edges      map[seal.Tree]*seal.Edge
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, clickhouse: embeddedtest.StartClickHouse(t)}
	b.writer, b.admin = b.clickhouse.Conn(embedded.Writer), b.clickhouse.Conn(embedded.Admin)
	var err error
	if b.key, err = seal.CreateKey(filepath.Join(t.TempDir(), "key"), logName); err != nil {
		t.Fatal(err)
	}
	b.dir, b.edges = t.TempDir(), map[seal.Tree]*seal.Edge{}
	if b.folder, err = seal.OpenFolder(b.dir); err != nil {
		b.Fatal(err)
	}
	return b
}

// tables are what an administrator may change.
var tables = []string{"records", "tree_nodes", "checkpoints", "seal_discrepancies"}

// keep remembers the tables as they are, and restore brings them back.
func (b *bench) keep() {
	b.Helper()
	for _, t := range tables {
		b.do("CREATE TABLE "+t+"_kept AS "+t, "INSERT INTO "+t+"_kept SELECT * FROM "+t)
	}
}

func (b *bench) restore() {
	b.Helper()
	for _, t := range tables {
		b.do("TRUNCATE TABLE "+t, "INSERT INTO "+t+" SELECT * FROM "+t+"_kept")
	}
}

// of is the tree of a partition; its first record has offset 100.
func of(partition int) seal.Tree {
	return seal.Tree{Topic: "custody.events", Partition: partition, Epoch: fmt.Sprintf("%016x", partition+10), Base: 100}
}

// grow stores blocks of records in partitions and seals each.
func (b *bench) grow(blocks int, size uint64, partitions ...int) {
	b.Helper()
	sealer, err := seal.New(seal.Config{ClickHouse: b.writer, Key: b.key, Folder: b.folder, Logger: slog.Default()})
	if err != nil {
		b.Fatal(err)
	}
	for range blocks {
		for _, p := range partitions {
			t := of(p)
			if b.edges[t] == nil {
				b.edges[t] = &seal.Edge{}
			}
			from, nodes := b.edges[t].Size(), b.store(t, b.edges[t], size)
			sealer.Grown(t, from, b.edges[t], nodes)
		}
		ended, cancel := context.WithCancel(b.Context())
		cancel()
		if err := sealer.Run(ended); err != nil { // signs once and ends
			b.Fatal(err)
		}
	}
}

func (b *bench) store(t seal.Tree, e *seal.Edge, n uint64) (nodes []seal.Node) {
	b.Helper()
	batch, err := b.writer.PrepareBatch(b.Context(), "INSERT INTO records (topic, epoch, partition, offset, log_time, state, leaf_hash, raw, tenant, id)")
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		raw := fmt.Sprintf(`{"partition":%d,"record":%d}`, t.Partition, e.Size())
		leaf := tlog.RecordHash([]byte(raw))
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", t.Partition, e.Size())
		if b.forge > 0 && e.Size() == b.forge {
			raw = "forged"
		}
		if err := batch.Append(t.Topic, t.Epoch, uint32(t.Partition), t.Base+e.Size(), time.Now(), "stored", string(leaf[:]), raw, []string{"acme", "globex"}[e.Size()%2], id); err != nil {
			b.Fatal(err)
		}
		nodes = e.Append(leaf, nodes)
	}
	if err := batch.Send(); err != nil {
		b.Fatal(err)
	}
	return nodes
}

func (b *bench) reconciler(change func(*reconcile.Config)) *reconcile.Reconciler {
	b.Helper()
	ring, err := b.folder.Keyring(logName, b.key.Public())
	if err != nil {
		b.Fatal(err)
	}
	cfg := reconcile.Config{ClickHouse: b.clickhouse.Conn(embedded.Detector), Ring: ring, Folder: b.folder, Step: 1000, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	r, err := reconcile.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// do runs statements as an administrator would who wants to cover something up.
func (b *bench) do(statements ...string) {
	b.Helper()
	for _, s := range statements {
		if strings.HasPrefix(s, "ALTER") {
			s += " SETTINGS mutations_sync = 2"
		}
		if err := b.admin.Exec(b.Context(), s); err != nil {
			b.Fatalf("%s: %v", s, err)
		}
	}
}

// found runs one full cycle and returns what it found, one line each.
func (b *bench) found(r *reconcile.Reconciler) []string {
	b.Helper()
	rep, err := r.Once(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return said(rep)
}

func said(rep *reconcile.Report) []string {
	out := []string{}
	for _, d := range rep.Discrepancies {
		out = append(out, fmt.Sprintf("%s %d: %d-%d", d.Kind, d.Partition, d.From, d.Last()))
	}
	return out
}

func (b *bench) want(name string, got []string, want ...string) {
	b.Helper()
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("%s (-want +found):\n%s", name, diff)
	}
}

// nothing proves that everything continues the empty tree.
func nothing(context.Context, uint64) (tlog.TreeProof, error) { return nil, nil }
