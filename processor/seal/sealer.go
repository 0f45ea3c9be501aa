package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/otel/metric"
)

// Config configures a Sealer.
type Config struct {
	// ClickHouse is a connection whose database is migrated. Required.
	ClickHouse driver.Conn
	// Key signs; its name is the log's. Required. All sealers of an installation
	// have the same.
	Key *Key
	// Folder takes the checkpoints outside ClickHouse; nil is none, and then who
	// can write to ClickHouse can take the newest away unnoticed.
	Folder *Folder
	// Interval between two checkpoints of a tree that grows; 0 is 1 s.
	Interval time.Duration
	// Witnesses are asked for cosignatures every WitnessInterval; 0 is 10 s.
	Witnesses       []Witness
	WitnessInterval time.Duration

	Logger *slog.Logger
	Meter  metric.Meter
}

// Sealer signs the heads of the trees that its process grows.
type Sealer struct {
	cfg   Config
	store *Store
	ring  *Keyring
	tel   *telemetry

	round sync.Mutex // held while checkpoints are made
	mu    sync.Mutex
	trees map[Tree]*growing // guarded by mu
}

// growing is what a sealer knows of a tree.
type growing struct {
	tree     Tree
	edge     Edge   // as it was grown last
	size     uint64 // of edge
	signed   uint64 // size of the newest checkpoint
	nodes    []Node // completed and not stored
	anchored bool   // every other node is stored, and the tree continues its newest checkpoint
	resets   int    // how often nodes were lost
	failures int    // in a row
	retry    time.Time
	note     []byte // the newest checkpoint, signed; nil for none of this process
}

// maxNodes bounds the nodes of a tree that wait for ClickHouse: 8 million
// records' worth. Beyond that they are dropped and computed again from records.
const maxNodes = 1 << 16

func (c *Config) setDefaults() error {
	if c.ClickHouse == nil || c.Key == nil || c.Logger == nil {
		return errors.New("ClickHouse, Key and Logger are required")
	}
	if c.Interval < 0 || c.WitnessInterval < 0 {
		return errors.New("times must not be negative")
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.WitnessInterval == 0 {
		c.WitnessInterval = 10 * time.Second
	}
	for i, w := range c.Witnesses {
		for _, other := range c.Witnesses[:i] {
			if v := w.Verifier(); v.Name() == other.Verifier().Name() && v.KeyHash() == other.Verifier().KeyHash() {
				return fmt.Errorf("witness %s is there twice", v.Name())
			}
		}
	}
	return nil
}

// New returns a sealer. A key that the folder says was replaced is an error.
func New(cfg Config) (*Sealer, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	ring, err := cfg.Folder.Keyring(cfg.Key.Name(), cfg.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if !cfg.Key.Public().Equal(ring.Current()) {
		return nil, fmt.Errorf("seal: the key of log %q was replaced by %s; configure that one", cfg.Key.Name(), VerifierKey(cfg.Key.Name(), ring.Current()))
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &Sealer{cfg: cfg, store: NewStore(cfg.ClickHouse), ring: ring, tel: tel, trees: map[Tree]*growing{}}, nil
}

// Grown tells that a tree has grown from a size to that of edge, completing
// nodes, and that the records are stored and the block's end is committed. Of a
// tree that this process takes over both sizes are the same. It returns at once
// and keeps nothing of its arguments.
func (s *Sealer) Grown(t Tree, from uint64, edge *Edge, nodes []Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.trees[t]
	if g == nil {
		g = &growing{tree: t, size: from}
		s.trees[t] = g
	}
	if g.size != from || len(g.nodes) > maxNodes { // another process had the partition meanwhile, or ClickHouse is away
		g.anchored, g.nodes = false, nil
		g.resets++
	}
	g.edge, g.size, g.nodes = *edge, edge.Size(), append(g.nodes, nodes...)
}

// Run signs until ctx is done, and then what has grown since. It returns nil:
// what fails is logged, counted and tried again, and nothing waits for it.
func (s *Sealer) Run(ctx context.Context) error {
	var witnesses sync.WaitGroup
	if len(s.cfg.Witnesses) > 0 {
		witnesses.Go(func() { s.witnessed(ctx) })
	}
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			s.seal(ctx)
		}
	}
	witnesses.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	s.seal(last)
	return nil
}

// RecordGap signs, stores and publishes the end of a tree, after its last
// checkpoint. When it returned nil the record is durable; before, it may be
// called again, also with another next epoch: the newest record of a tree counts.
func (s *Sealer) RecordGap(ctx context.Context, g Gap) error {
	s.seal(ctx)
	g.Time = time.Now().UTC().Truncate(time.Second)
	signed, err := s.cfg.Key.SignGap(g)
	if err != nil {
		return err
	}
	if s.cfg.Folder != nil {
		if err := s.cfg.Folder.put(g.Closed.Origin(s.ring.Log()), fileGap, signed, func([]byte) bool { return true }); err != nil {
			return err
		}
	}
	if err := s.store.putGap(ctx, g, signed); err != nil {
		return err
	}
	s.tel.gaps.Add(ctx, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.trees[g.Closed]; t != nil && t.signed == t.size {
		delete(s.trees, g.Closed)
	}
	return nil
}

// due returns copies of the trees that have grown, and how many records are not
// covered by a checkpoint.
func (s *Sealer) due(now time.Time) (list []growing, unsealed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.trees {
		if g.size <= g.signed {
			continue
		}
		unsealed += g.size - g.signed
		if !now.Before(g.retry) {
			list = append(list, *g)
		}
	}
	return list, unsealed
}

// seal makes a checkpoint of every tree that has grown: nodes first, so that
// whatever is signed can be proven, then the outside, then ClickHouse.
func (s *Sealer) seal(ctx context.Context) {
	s.round.Lock()
	defer s.round.Unlock()
	list, unsealed := s.due(time.Now())
	s.tel.unsealed.Record(ctx, int64(unsealed))
	var ready []growing
	var nodes []TreeNodes
	for _, g := range list {
		nodesOf := g.nodes
		if !g.anchored {
			signed, err := s.anchor(ctx, &g)
			if errors.Is(err, ErrMissing) {
				s.goOn(ctx, &g, err)
				nodesOf, err = append(g.edge.Nodes(), g.nodes...), nil
			}
			if err != nil {
				s.failed(ctx, &g, err)
				continue
			}
			// Another process is ahead, or had signed all of it: that is signed again for the
			// witnesses, whom it may not have lived to ask.
			if g.signed = signed; signed > g.size || signed == g.size && len(s.cfg.Witnesses) == 0 {
				s.done(&g, nil)
				continue
			}
		}
		ready, nodes = append(ready, g), append(nodes, TreeNodes{g.tree, nodesOf})
	}
	if len(ready) == 0 {
		return
	}
	if err := s.store.PutNodes(ctx, nodes); err != nil {
		for i := range ready {
			s.failed(ctx, &ready[i], err)
		}
		return
	}
	s.sign(ctx, ready)
}

func (s *Sealer) sign(ctx context.Context, ready []growing) {
	var list []Signed
	var published []growing
	for _, g := range ready {
		c := Checkpoint{Origin: g.tree.Origin(s.ring.Log()), Size: g.size, Root: g.edge.Root()}
		signed, err := s.cfg.Key.SignCheckpoint(c)
		if err == nil && s.cfg.Folder != nil {
			err = s.cfg.Folder.putHead(fileCheckpoint, c, signed)
		}
		if err != nil {
			s.failed(ctx, &g, err)
			continue
		}
		list, published = append(list, Signed{c, g.tree, 1, time.Now(), signed}), append(published, g)
	}
	if err := s.store.putCheckpoints(ctx, list); err != nil {
		for i := range published {
			s.failed(ctx, &published[i], err)
		}
		return
	}
	s.tel.checkpoints.Add(ctx, int64(len(list)))
	for i := range published {
		s.done(&published[i], list[i].Note)
	}
}

// done takes over what a copy of a tree has reached.
func (s *Sealer) done(g *growing, note []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.trees[g.tree]
	if now == nil {
		return
	}
	now.failures, now.retry = 0, time.Time{}
	now.signed = max(now.signed, g.signed)
	if note == nil {
		return
	}
	now.signed, now.note = max(now.signed, g.size), note
	if now.resets == g.resets {
		now.anchored, now.nodes = true, append([]Node(nil), now.nodes[len(g.nodes):]...)
	}
}

// goOn says that a tree is sealed as Kafka has it, although what is stored is not
// enough to prove that it continues what was signed: records were deleted, or an
// old backup restored. The reconciliation names what is missing.
func (s *Sealer) goOn(ctx context.Context, g *growing, err error) {
	s.tel.errors.Add(ctx, 1)
	s.cfg.Logger.Error("records or nodes are missing; the tree goes on as Kafka has it, and no witness can be shown that it continues",
		"topic", g.tree.Topic, "partition", g.tree.Partition, "epoch", g.tree.Epoch, "size", g.size, "error", err)
}

// failed leaves the tree for a later round, after a pause that grows to a minute.
func (s *Sealer) failed(ctx context.Context, g *growing, err error) {
	s.tel.errors.Add(ctx, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.trees[g.tree]
	if now == nil {
		return
	}
	now.failures++
	pause := min(s.cfg.Interval<<min(now.failures, 6), time.Minute)
	now.retry = time.Now().Add(pause)
	s.cfg.Logger.Error("a tree is not sealed; its records are stored all the same", "topic", g.tree.Topic, "partition", g.tree.Partition, "epoch", g.tree.Epoch,
		"size", g.size, "signed_size", g.signed, "error", err, "again_in", pause)
}
