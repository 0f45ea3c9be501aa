package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/reconcile"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/witness"
)

// A backup of the database is restored: what was stored since is gone, and says
// so, also when the pipeline has gone on; and tenants are told.
func TestRestoredBackup(t *testing.T) {
	b := newBench(t)
	b.grow(4, 300, 0, 1)
	b.keep()
	b.grow(5, 300, 0)
	b.grow(2, 300, 1)
	b.restore()
	r := b.reconciler(nil)
	b.want("restored", b.found(r), "restored 0: 1300-2799", "restored 1: 1300-1899")
	b.grow(3, 300, 0, 1)
	b.want("and grown", b.found(r), "restored 0: 1300-2799", "restored 1: 1300-1899")
	b.want("for one that was not there before", b.found(b.reconciler(nil)), "restored 0: 1300-2799", "restored 1: 1300-1899")
	b.do(`ALTER TABLE records UPDATE raw = ` + forged + ` WHERE partition = 0 AND offset = 3000`)
	b.want("and edited", b.found(r), "edited 0: 3000-3000", "restored 0: 1300-2799", "restored 1: 1300-1899")

	engine, err := detect.New(detect.Config{ClickHouse: b.clickhouse.Conn(embedded.Detector), Sessions: b.clickhouse.Sessions(embedded.Detector), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := detect.List(t.Context(), b.writer, detect.Filter{Rule: "seal_broken"})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range list {
		told = append(told, f.Tenant+" "+strings.Join(f.SubjectKey, " "))
		if f.SubjectKey[3] == "edited" && (len(f.Evidence) == 1) != (f.Tenant == "acme") { // offset 3000 is acme's
			t.Errorf("%s is told of events %v", f.Tenant, f.Evidence)
		}
	}
	slices.Sort(told)
	b.want("findings", told,
		"acme custody.events 0 000000000000000a edited 3000 3000", "acme custody.events 0 000000000000000a restored 1300 2799", "acme custody.events 1 000000000000000b restored 1300 1899",
		"globex custody.events 0 000000000000000a edited 3000 3000", "globex custody.events 0 000000000000000a restored 1300 2799", "globex custody.events 1 000000000000000b restored 1300 1899")
}

// Database and folder are taken back together. Who was there before sees it, and
// who was not asks a witness.
func TestRolledBack(t *testing.T) {
	b := newBench(t)
	b.grow(4, 300, 0)
	b.keep()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(b.dir)); err != nil {
		t.Fatal(err)
	}
	b.grow(1, 300, 0)
	w := b.witness()
	r := b.reconciler(nil)
	b.want("before", b.found(r))
	b.restore()
	b.open(old)
	there := b.reconciler(func(c *reconcile.Config) { c.Witnesses = []reconcile.Witness{w} })
	b.want("for one that knows nothing and asks nobody", b.found(b.reconciler(nil)))
	b.want("with a witness", b.found(there), "restored 0: 1300-1599", "rolled_back 0: 1300-1599")
	// The one that was there before reads the folder that it was given.
	if err := errors.Join(os.RemoveAll(b.first), os.CopyFS(b.first, os.DirFS(old))); err != nil {
		t.Fatal(err)
	}
	b.want("for one that was there before", b.found(r), "restored 0: 1300-1599", "rolled_back 0: 1300-1599")
}

// open takes another folder for what follows.
func (b *bench) open(dir string) {
	b.Helper()
	b.first, b.dir = b.dir, dir
	var err error
	if b.folder, err = seal.OpenFolder(dir); err != nil {
		b.Fatal(err)
	}
}

// witness is a real one that has cosigned the newest checkpoints.
func (b *bench) witness() *witness.Client {
	b.Helper()
	key, err := seal.CreateKey(filepath.Join(b.TempDir(), "key"), "witness.example/w1")
	if err != nil {
		b.Fatal(err)
	}
	policy, err := witness.ParsePolicy(strings.NewReader("log " + b.key.Verifier() + "\n"))
	if err != nil {
		b.Fatal(err)
	}
	w, err := witness.New(witness.Config{Key: key, Dir: b.TempDir(), Logs: policy.Logs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(w)
	b.Cleanup(func() { server.Close(); w.Close() })
	c, err := witness.NewClient(server.URL, key.CosignerKey())
	if err != nil {
		b.Fatal(err)
	}
	trees, err := b.folder.Trees(logName)
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range trees {
		if _, err := c.Cosign(b.Context(), p.Checkpoint, nothing); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

// Somebody with the log's key signs another history, of the same size.
func TestFork(t *testing.T) {
	b := newBench(t)
	b.grow(4, 300, 0)
	other, err := b.key.SignCheckpoint(seal.Checkpoint{Origin: of(0).Origin(logName), Size: 1200})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, filepath.FromSlash(of(0).Origin(logName)), "checkpoint"), other, 0o600); err != nil {
		t.Fatal(err)
	}
	got := b.found(b.reconciler(nil))
	if !slices.Contains(got, "fork 0: 100-1299") {
		t.Errorf("found %v", got)
	}
}

// Run looks at what is new within an interval, however long a full cycle takes.
func TestNew(t *testing.T) {
	b := newBench(t)
	b.grow(11, 300, 0, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	r := b.reconciler(func(c *reconcile.Config) { c.Interval, c.RecordsPerSecond = 20*time.Millisecond, 1 }) // a full cycle takes an hour and a half
	go func() { done <- r.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	b.grow(2, 300, 0, 1)
	b.forge = 4000 // stored otherwise than it is sealed, by a processor that lies
	b.grow(1, 300, 0, 1)
	embeddedtest.Eventually(t, time.Minute, "it is found", func(ctx context.Context) error {
		var n uint64
		if err := b.admin.QueryRow(ctx, "SELECT uniqExact(partition) FROM seal_discrepancies WHERE kind = 'edited' AND first_offset = 4100 AND last_offset = 4100").Scan(&n); err != nil || n != 2 {
			return errors.Join(err, errors.New("not in both partitions yet"))
		}
		return nil
	})
}

// Each cycle that comes to its end is written down with what it read and how many
// places it found; who may only read writes nothing.
func TestWrittenDown(t *testing.T) {
	b := newBench(t)
	b.grow(2, 300, 0, 1)
	b.found(b.reconciler(func(c *reconcile.Config) { c.ReadOnly = true }))
	b.found(b.reconciler(nil))
	b.do("ALTER TABLE records DELETE WHERE partition = 1 AND offset = 500")
	b.found(b.reconciler(nil))
	rows, err := b.admin.Query(t.Context(), "SELECT full, trees, records, discrepancies FROM reconciliations WHERE began <= ended ORDER BY ended")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var full bool
		var trees uint32
		var records, discrepancies uint64
		if err := rows.Scan(&full, &trees, &records, &discrepancies); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(full, trees, records, discrepancies))
	}
	b.want("cycles", got, "true 2 1200 0", "true 2 1200 1")
}
