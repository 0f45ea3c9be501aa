package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/processor/witness"
)

// bench is a real ClickHouse, a folder and a key.
type bench struct {
	*testing.T
	clickhouse *embeddedtest.ClickHouse
	writer     driver.Conn
	folder     *seal.Folder
	key        *seal.Key
	log        *lines
}

// lines collects what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) contain(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	folder, err := seal.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := embeddedtest.StartClickHouse(t)
	return &bench{t, c, c.Conn(embedded.Writer), folder, newKey(t), &lines{}}
}

// sealer is one of a process that runs until the test ends or it is stopped.
func (b *bench) sealer(change func(*seal.Config)) (s *seal.Sealer, stop func()) {
	b.Helper()
	cfg := seal.Config{ClickHouse: b.writer, Key: b.key, Folder: b.folder, Interval: 10 * time.Millisecond, WitnessInterval: 10 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(b.log, nil))}
	if change != nil {
		change(&cfg)
	}
	s, err := seal.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
	b.Cleanup(stop)
	return s, stop
}

// partition is a tree that a worker grows: the records go to ClickHouse.
type partition struct {
	*bench
	tree seal.Tree
	edge seal.Edge
	ref  reference
}

func (b *bench) partition(t seal.Tree) *partition { return &partition{bench: b, tree: t} }

func record(i uint64) []byte { return []byte(fmt.Sprintf(`{"record":%d}`, i)) }

// store writes n records and returns the size before and the nodes they complete.
func (p *partition) store(n uint64) (from uint64, nodes []seal.Node) {
	p.Helper()
	from = p.edge.Size()
	batch, err := p.writer.PrepareBatch(p.Context(), "INSERT INTO records (topic, epoch, partition, offset, log_time, state, leaf_hash, raw, tenant)")
	if err != nil {
		p.Fatal(err)
	}
	for i := from; i < from+n; i++ {
		raw := record(i)
		leaf := tlog.RecordHash(raw)
		if err := batch.Append(p.tree.Topic, p.tree.Epoch, uint32(p.tree.Partition), p.tree.Base+i, time.Now(), "stored", string(leaf[:]), string(raw), "acme"); err != nil {
			p.Fatal(err)
		}
		nodes = p.edge.Append(leaf, nodes)
		p.ref.add(p, int64(i), leaf)
	}
	if err := batch.Send(); err != nil {
		p.Fatal(err)
	}
	return from, nodes
}

// head waits until the newest published checkpoint has the tree's size, and
// returns its note.
func (p *partition) head() (signed []byte) {
	p.Helper()
	embeddedtest.Eventually(p, 2*time.Minute, "the tree is sealed", func(ctx context.Context) error {
		got, err := p.folder.Tree(p.tree.Origin(logName))
		if err != nil {
			return err
		}
		c, _, err := ring(p.T, p.key).OpenCheckpoint(got.Checkpoint)
		if err != nil {
			return err
		}
		if c.Size != p.edge.Size() || c.Root != p.edge.Root() {
			return fmt.Errorf("the newest has size %d, the tree %d", c.Size, p.edge.Size())
		}
		signed = got.Checkpoint
		return nil
	})
	embeddedtest.Eventually(p, 2*time.Minute, "the checkpoint is in ClickHouse", func(ctx context.Context) error {
		got, err := seal.NewStore(p.writer).Newest(ctx, p.tree)
		text, _, _ := bytes.Cut(signed, []byte("\n\n")) // what witnesses add comes after it
		if err == nil && !bytes.HasPrefix(got, text) {
			err = errors.New("another is the newest")
		}
		return err
	})
	return signed
}

func (p *partition) policy(t testing.TB) torchwood.Policy {
	t.Helper()
	origin := p.tree.Origin(logName)
	v, err := note.NewVerifier(seal.VerifierKey(origin, p.key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	return torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(v))
}

// proven checks proofs of the current tree: torchwood verifies inclusion under
// the signed checkpoint, and tlog that each older size is its beginning.
func (p *partition) proven(signed []byte, indexes, olds []uint64) {
	p.Helper()
	store, size := seal.NewStore(p.writer), p.edge.Size()
	for _, i := range indexes {
		proof, err := store.ProveInclusion(p.Context(), p.tree, size, i)
		if err != nil {
			p.Fatal(err)
		}
		text := torchwood.FormatProof(int64(i), proof, signed)
		if err := torchwood.VerifyProof(p.policy(p), tlog.RecordHash(record(i)), text); err != nil {
			p.Errorf("leaf %d of %d: %v", i, size, err)
		}
		if err := torchwood.VerifyProof(p.policy(p), tlog.RecordHash(record(i+1)), text); err == nil {
			p.Errorf("leaf %d of %d: verified for another record", i, size)
		}
	}
	for _, old := range olds {
		proof, err := store.ProveConsistency(p.Context(), p.tree, old, size)
		if err != nil {
			p.Fatal(err)
		}
		if err := tlog.CheckTree(proof, int64(size), p.edge.Root(), int64(old), p.ref.root(p, int64(old))); err != nil {
			p.Errorf("from %d to %d: %v", old, size, err)
		}
	}
}

func TestSealer(t *testing.T) {
	b := newBench(t)
	s, _ := b.sealer(nil)
	first, second := b.partition(tree), b.partition(seal.Tree{Topic: tree.Topic, Partition: 0, Epoch: "aa00aa00aa00aa00"})
	for _, n := range []uint64{1, 254, 1, 1, 700, 3000} {
		for _, p := range []*partition{first, second} {
			from, nodes := p.store(n)
			s.Grown(p.tree, from, &p.edge, nodes)
			p.head()
		}
	}
	size := first.edge.Size()
	first.proven(first.head(), []uint64{0, 1, 255, 256, 300, size - 2, size - 1}, []uint64{1, 2, 255, 256, 257, 1000, size - 1, size})
	if n := b.count("SELECT count() FROM checkpoints FINAL WHERE partition = 3"); n != 6 {
		t.Errorf("%d checkpoints are stored, want 6", n)
	}
	if n := b.count("SELECT toInt64(uniqExact(level, index)) FROM tree_nodes WHERE partition = 3"); n != int(size/256+size/512+size/1024+size/2048) {
		t.Errorf("%d nodes are stored", n)
	}
	if b.log.contain("level=ERROR") {
		t.Errorf("errors were logged:\n%s", b.log.b.String())
	}
}

func (b *bench) count(sql string) (n int) {
	b.Helper()
	var got int64
	if err := b.clickhouse.Conn(embedded.Admin).QueryRow(b.Context(), "SELECT toInt64(("+sql+"))").Scan(&got); err != nil {
		b.Fatal(err)
	}
	return int(got)
}

// A process dies after it committed blocks and before it sealed them, with nodes
// in memory. The next one stores these too, and goes on with the tree.
func TestTakeover(t *testing.T) {
	b := newBench(t)
	p := b.partition(tree)
	s, stop := b.sealer(nil)
	from, nodes := p.store(300)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.head()
	stop()
	p.store(2000) // and died
	s, _ = b.sealer(nil)
	from, nodes = p.store(500)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.proven(p.head(), []uint64{0, 299, 300, 1500, 2799}, []uint64{300, 2300})
	// The partition went to another process and came back.
	p.store(1000)
	from, nodes = p.store(10)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.proven(p.head(), []uint64{2900, 3300, 3809}, []uint64{2800})
}

// A tree is not signed when it does not continue what was signed of it.
func TestConflict(t *testing.T) {
	for name, tamper := range map[string]func(b *bench, p *partition){
		"another log": func(b *bench, p *partition) { // as after Kafka was restored from a copy that differs
			p.edge = seal.Edge{}
			for i := range uint64(300) {
				p.edge.Append(leaf(i), nil)
			}
		},
		"a changed record": func(b *bench, p *partition) {
			b.admin("ALTER TABLE tree_nodes DELETE WHERE 1 SETTINGS mutations_sync = 1")
			b.admin("ALTER TABLE records UPDATE leaf_hash = reverse(leaf_hash) WHERE offset = 130 SETTINGS mutations_sync = 1")
		},
		"another key": func(b *bench, p *partition) { b.key = newKey(b.T) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.partition(tree)
			s, stop := b.sealer(nil)
			from, nodes := p.store(300)
			s.Grown(p.tree, from, &p.edge, nodes)
			before := p.head()
			stop()
			tamper(b, p)
			s, _ = b.sealer(nil)
			from, nodes = p.store(300)
			s.Grown(p.tree, from, &p.edge, nodes)
			embeddedtest.Eventually(t, 2*time.Minute, "it is said", func(context.Context) error {
				if !b.log.contain(seal.ErrConflict.Error()) && !b.log.contain("no rotation leads to") {
					return errors.New("not yet")
				}
				return nil
			})
			if got, err := b.folder.Tree(p.tree.Origin(logName)); err != nil || !bytes.Equal(got.Checkpoint, before) {
				t.Errorf("signed all the same, %v:\n%s", err, got.Checkpoint)
			}
		})
	}
}

func (b *bench) admin(sql string) {
	b.Helper()
	if err := b.clickhouse.Conn(embedded.Admin).Exec(b.Context(), sql); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// Nodes that were changed are computed again from the records.
func TestNodesAreMended(t *testing.T) {
	b := newBench(t)
	p := b.partition(tree)
	s, stop := b.sealer(nil)
	from, nodes := p.store(1000)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.head()
	stop()
	b.admin("ALTER TABLE tree_nodes UPDATE hash = reverse(hash) WHERE 1 SETTINGS mutations_sync = 1")
	s, _ = b.sealer(nil)
	from, nodes = p.store(1)
	s.Grown(p.tree, from, &p.edge, nodes)
	signed := p.head()
	b.admin("OPTIMIZE TABLE tree_nodes FINAL")
	p.proven(signed, []uint64{0, 600, 1000}, []uint64{256, 1000})
}

func TestRecordGap(t *testing.T) {
	b := newBench(t)
	p := b.partition(tree)
	s, _ := b.sealer(func(c *seal.Config) { c.Interval = time.Hour }) // so that the gap itself makes the last checkpoint
	from, nodes := p.store(300)
	s.Grown(p.tree, from, &p.edge, nodes)
	next := seal.Tree{Topic: tree.Topic, Partition: tree.Partition, Epoch: "bb00bb00bb00bb00", Base: 9000}
	for range 2 { // as after a crash before the new epoch was committed
		if err := s.RecordGap(t.Context(), seal.Gap{Closed: tree, Size: 300, Root: p.edge.Root(), Next: next, LostFrom: 420, LostTo: 9000, Reason: seal.Overrun}); err != nil {
			t.Fatal(err)
		}
	}
	p.head()
	got, err := b.folder.Tree(tree.Origin(logName))
	if err != nil {
		t.Fatal(err)
	}
	g, err := ring(t, b.key).OpenGap(got.Gap)
	if err != nil || g.Next != next || g.LostTo != 9000 || g.Size != 300 {
		t.Errorf("published is %+v, %v", g, err)
	}
	if n := b.count("SELECT count() FROM log_gaps FINAL WHERE reason = 'retention_overrun' AND lost_to - lost_from = 8580 AND next_base = 9000"); n != 1 {
		t.Errorf("%d gaps are stored, want 1", n)
	}
}

// A key is replaced between two runs; a sealer with the old one does not start.
func TestSealerAfterRotation(t *testing.T) {
	b := newBench(t)
	p := b.partition(tree)
	s, stop := b.sealer(nil)
	from, nodes := p.store(300)
	s.Grown(p.tree, from, &p.edge, nodes)
	head, _, err := ring(t, b.key).OpenCheckpoint(p.head())
	if err != nil {
		t.Fatal(err)
	}
	stop()
	old := b.key
	b.key = newKey(t)
	signed, err := seal.SignRotation(old, b.key, []seal.Checkpoint{head}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.folder.PutRotation(signed), seal.NewStore(b.writer).PutRotation(t.Context(), signed)); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.New(seal.Config{ClickHouse: b.writer, Key: old, Folder: b.folder, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "was replaced by") {
		t.Errorf("a sealer with the old key: %v", err)
	}
	s, _ = b.sealer(nil)
	from, nodes = p.store(5)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.proven(p.head(), []uint64{0, 304}, []uint64{300})
	if n := b.count("SELECT count() FROM key_rotations FINAL"); n != 1 {
		t.Errorf("%d rotations are stored, want 1", n)
	}
}

// Witnesses cosign what they can reach; one that is away stops nobody, and one
// that has seen another history refuses.
func TestWitnesses(t *testing.T) {
	b := newBench(t)
	p := b.partition(tree)
	key, dir := newNamedKey(t, "witness.example/w1"), t.TempDir()
	server := b.witness(key, dir)
	client := func(url string, key *seal.Key) seal.Witness {
		t.Helper()
		c, err := witness.NewClient(url, key.CosignerKey())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	s, stop := b.sealer(func(c *seal.Config) {
		c.Witnesses = []seal.Witness{client(away.URL, newNamedKey(t, "witness.example/w2")), client(server, key)}
	})
	for _, n := range []uint64{100, 700} {
		from, nodes := p.store(n)
		s.Grown(p.tree, from, &p.edge, nodes)
		p.head()
		p.witnessed(key)
	}
	stop()
	// Another process, which has to learn what the witness saw.
	s, stop = b.sealer(func(c *seal.Config) { c.Witnesses = []seal.Witness{client(server, key)} })
	from, nodes := p.store(500)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.head()
	p.witnessed(key)
	stop()
	// One that asked nobody before it died, after which no record comes.
	s, stop = b.sealer(nil)
	from, nodes = p.store(50)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.head()
	stop()
	s, stop = b.sealer(func(c *seal.Config) { c.Witnesses = []seal.Witness{client(server, key)} })
	s.Grown(p.tree, p.edge.Size(), &p.edge, nil)
	p.witnessed(key)
	stop()
	if n := b.count("SELECT count() FROM checkpoints FINAL WHERE signatures = 2"); n < 3 {
		t.Errorf("%d cosigned checkpoints are stored, want at least 3", n)
	}
	if _, err := seal.New(seal.Config{ClickHouse: b.writer, Key: b.key, Witnesses: []seal.Witness{client(server, key), client(away.URL, key)}, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("one witness was taken for two")
	}
	// The log tells another story.
	if _, err := client(server, key).Cosign(t.Context(), signed(t, b.key, seal.Checkpoint{Origin: tree.Origin(logName), Size: 1450, Root: leaf(1)}),
		func(context.Context, uint64) (tlog.TreeProof, error) { return nil, nil }); !errors.Is(err, seal.ErrInconsistent) {
		t.Errorf("the witness answers a fork with %v", err)
	}
}

func newNamedKey(t *testing.T, name string) *seal.Key {
	t.Helper()
	k, err := seal.CreateKey(filepath.Join(t.TempDir(), "key"), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// witness starts one that knows the log and returns its URL.
func (b *bench) witness(key *seal.Key, dir string) string {
	b.Helper()
	policy, err := witness.ParsePolicy(strings.NewReader("log " + b.key.Verifier() + "\n"))
	if err != nil {
		b.Fatal(err)
	}
	w, err := witness.New(witness.Config{Key: key, Dir: dir, Logs: policy.Logs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(w)
	b.Cleanup(func() {
		server.Close()
		w.Close()
	})
	return server.URL
}

// witnessed waits until the tree's newest checkpoint is published with a
// cosignature that torchwood takes.
func (p *partition) witnessed(key *seal.Key) {
	p.Helper()
	origin := p.tree.Origin(logName)
	policy, err := torchwood.ParsePolicy([]byte("log " + seal.VerifierKey(origin, p.key.Public()) + "\nwitness w " + key.CosignerKey() + "\nquorum w\n"))
	if err != nil {
		p.Fatal(err)
	}
	embeddedtest.Eventually(p, 2*time.Minute, "the tree is witnessed", func(context.Context) error {
		got, err := p.folder.Tree(origin)
		if err != nil {
			return err
		}
		c, _, err := torchwood.VerifyCheckpoint(got.Witnessed, policy)
		if err == nil && uint64(c.N) != p.edge.Size() {
			err = fmt.Errorf("size %d is witnessed, the tree has %d", c.N, p.edge.Size())
		}
		return err
	})
}

// Records are deleted. A process that begins to grow the tree cannot prove any
// more that it continues, and seals it as Kafka has it; what comes can be proven.
func TestMissingRecords(t *testing.T) {
	b := newBench(t)
	p := b.partition(tree)
	s, stop := b.sealer(nil)
	from, nodes := p.store(1000)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.head()
	stop()
	p.store(600)
	b.admin("ALTER TABLE records DELETE WHERE offset >= 400 AND offset < 1500 SETTINGS mutations_sync = 1")
	b.admin("ALTER TABLE tree_nodes DELETE WHERE 1 SETTINGS mutations_sync = 1")
	s, _ = b.sealer(nil)
	from, nodes = p.store(1500)
	s.Grown(p.tree, from, &p.edge, nodes)
	p.proven(p.head(), []uint64{2048, 2500, 3099}, nil)
	if !b.log.contain("the tree goes on as Kafka has it") {
		t.Errorf("nothing is said of it:\n%s", b.log.b.String())
	}
}
