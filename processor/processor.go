// Package processor moves records from Kafka into ClickHouse, exactly once in
// effect: none is lost and none is visible twice, through a kill of this
// process, of ClickHouse or of Kafka at any moment, through rebalances and
// through members that wake up after they were given up.
//
// Each assigned partition has one worker. It collects a block of contiguous
// offsets and then follows the fenced-intent protocol of docs/adr/0003:
//
//  1. commit the block's start with the intent (end, digest) as commit
//     metadata, under the group generation: a member that was replaced is
//     refused here;
//  2. insert the block under a token made of the same facts;
//  3. commit the block's end.
//
// A worker that takes over a partition and finds an intent reads exactly that
// block again, asks ClickHouse which of its rows are there, and inserts the
// missing ones under the same token. Records that are no event are stored as
// malformed and also sent to the dead-letter topic, at least once.
//
// It does not guarantee freshness: while ClickHouse is away it waits.
package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/dial"
)

// Config configures a Processor.
type Config struct {
	// Kafka is how the cluster is reached. Brokers are required.
	Kafka dial.Kafka
	// Topic of the events and DeadLetter topic. Required; both must exist.
	Topic, DeadLetter string
	// Group is the consumer group; empty is "custody-processor". All processors of
	// an installation share it; another name reads everything again as duplicates.
	Group string
	// ClickHouse is a connection whose database is migrated. Required.
	ClickHouse driver.Conn
	// Dial opens a connection to the same database, on which blocks are inserted
	// as columns (docs/adr/0008). Required.
	Dial func(context.Context) (*ch.Client, error)
	// Cluster is the one that holds the tables, if they are on several servers
	// (docs/adr/0029-cluster.md); empty: they are on one.
	Cluster string
	// BlockRecords and BlockBytes bound a block; 0 are 40,000 and 40 MiB of
	// records. Bigger blocks cost ClickHouse less per row and this process more memory.
	BlockRecords int
	BlockBytes   int
	// Blocks is how many blocks there are at a time, for all partitions; 0 is 2: one
	// is built while the other is stored. With BlockBytes it bounds this process's
	// memory: a block needs about twice the bytes of its records.
	Blocks int
	// BlockWait is how long a block waits to fill; 0 is 500 ms.
	BlockWait time.Duration
	// SessionTimeout after which Kafka gives a silent member's partitions away; 0
	// is 10 s. Kafka's group.min.session.timeout.ms bounds it below.
	SessionTimeout time.Duration
	// InsertTimeout bounds one insert; 0 is 30 s. An insert that takes longer is
	// checked and completed, not lost.
	InsertTimeout time.Duration

	// Registry says what is registered of the principals, servers and tools of
	// events; nil for nothing.
	Registry Registry
	// Sealer signs the trees that grow; nil for none.
	Sealer Sealer

	Logger *slog.Logger
	Meter  metric.Meter
	Tracer trace.Tracer
}

// Registry keeps the registry that is in force.
type Registry interface {
	// Snapshot returns at once; any number of goroutines may ask.
	Snapshot() *enrich.Snapshot
}

// Sealer is told of what is stored and committed, by any number of goroutines.
type Sealer interface {
	// Grown tells that a tree grew from a size to that of edge, completing nodes.
	// It must return at once and keep nothing of its arguments.
	Grown(t seal.Tree, from uint64, edge *seal.Edge, nodes []seal.Node)
	// RecordGap makes the end of a tree durable. It may be called again for the
	// same tree, the last one counts.
	RecordGap(ctx context.Context, g seal.Gap) error
}

func (c *Config) setDefaults() error {
	if len(c.Kafka.Brokers) == 0 || c.Topic == "" || c.DeadLetter == "" || c.ClickHouse == nil || c.Dial == nil || c.Logger == nil {
		return errors.New("processor: Kafka.Brokers, Topic, DeadLetter, ClickHouse, Dial and Logger are required")
	}
	if c.BlockRecords < 0 || c.BlockBytes < 0 || c.Blocks < 0 || c.BlockWait < 0 || c.SessionTimeout < 0 || c.InsertTimeout < 0 {
		return errors.New("processor: bounds and times must not be negative")
	}
	def(&c.Group, "custody-processor")
	def(&c.BlockRecords, 40_000)
	def(&c.BlockBytes, 40<<20)
	def(&c.Blocks, 2)
	def(&c.BlockWait, 500*time.Millisecond)
	def(&c.SessionTimeout, 10*time.Second)
	def(&c.InsertTimeout, 30*time.Second)
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Processor is one member of the consumer group.
type Processor struct {
	cfg       Config
	transport *dial.Transport
	client    *kafka.Client

	coordinator coordinator
	dead        *kafka.Writer
	store       *store
	seen        *seen
	slots       slots
	tel         *telemetry
}

const clientID = "custody-processor"

// maxSeen is how many ids a process remembers, at 12 to 24 bytes each.
const maxSeen = 4 << 20

// New returns a processor; it connects when it runs.
func New(cfg Config) (*Processor, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	tel, err := newTelemetry(cfg.Meter, cfg.Tracer)
	if err != nil {
		return nil, err
	}
	addr, transport := kafka.TCP(cfg.Kafka.Brokers...), cfg.Kafka.Transport(clientID)
	client := &kafka.Client{Addr: addr, Transport: transport}
	store := &store{conn: cfg.ClickHouse, dial: cfg.Dial, idle: make(chan *ch.Client, cfg.Blocks), timeout: cfg.InsertTimeout, cluster: cfg.Cluster}
	return &Processor{
		cfg:       cfg,
		transport: transport,
		client:    client,

		coordinator: coordinator{client: client},
		dead: &kafka.Writer{
			Addr: addr, Topic: cfg.DeadLetter, Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
			MaxAttempts: 3, BatchTimeout: 2 * time.Millisecond, BatchBytes: 1 << 20, Compression: cfg.Kafka.Codec(), Transport: transport,
		},
		store: store,
		seen: &seen{
			load: func(ctx context.Context, buckets []int64) (map[int64][]uuid, error) {
				return store.ids(ctx, buckets, maxSeen)
			},
			newest: store.newest, limit: maxSeen,
		},
		slots: newSlots(cfg.Blocks),
		tel:   tel,
	}, nil
}

// registry is what blocks that begin now are judged by.
func (p *Processor) registry() *enrich.Snapshot {
	if p.cfg.Registry == nil {
		return nil
	}
	return p.cfg.Registry.Snapshot()
}

// Run consumes until ctx is done and what is being inserted has an outcome. It
// returns an error only when it cannot start; afterwards it retries.
func (p *Processor) Run(ctx context.Context) error {
	if err := p.store.prepare(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: p.cfg.Group, Brokers: p.cfg.Kafka.Brokers, Dialer: p.cfg.Kafka.Dialer(clientID), Topics: []string{p.cfg.Topic},
		StartOffset:    kafka.FirstOffset, // LastOffset would skip what came before the first commit
		SessionTimeout: p.cfg.SessionTimeout, HeartbeatInterval: p.cfg.SessionTimeout / 4,
		RebalanceTimeout: p.cfg.InsertTimeout + 5*time.Second, JoinGroupBackoff: time.Second,
		// Added to what a join may take. With kafka-go's 5 s, members that join further apart give up one after the other, each
		// time before the group is complete, when the broker counts from the last join, as the embedded one does.
		Timeout:               p.cfg.InsertTimeout + 5*time.Second,
		WatchPartitionChanges: true, PartitionWatchInterval: 30 * time.Second,
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) {
			p.cfg.Logger.Warn("consumer group", "error", fmt.Sprintf(format, args...))
		}),
	})
	if err != nil {
		return fmt.Errorf("join consumer group: %w", err)
	}
	p.follow(ctx, group)
	err = errors.Join(p.close(group), p.dead.Close())
	p.store.close()
	return err
}

// follow starts the workers of each generation. A generation ends when one of
// them returns, and the group waits for the others.
func (p *Processor) follow(ctx context.Context, group *kafka.ConsumerGroup) {
	for ctx.Err() == nil {
		gen, err := group.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				p.cfg.Logger.Warn("no generation of the consumer group", "group", p.cfg.Group, "error", p.cfg.Kafka.Explain(err))
			}
			continue // the group backs off by itself
		}
		assigned := gen.Assignments[p.cfg.Topic]
		p.cfg.Logger.Info("partitions assigned", "group", p.cfg.Group, "generation", gen.ID, "partitions", len(assigned))
		p.seen.reset()
		for _, a := range assigned {
			w := newWorker(p, gen, a.ID, len(assigned))
			gen.Start(func(genCtx context.Context) {
				both, cancel := context.WithCancel(genCtx)
				defer cancel()
				defer context.AfterFunc(ctx, cancel)()
				w.run(both)
			})
		}
	}
}

// close leaves the group, so that another member need not wait for the session
// timeout. kafka-go's Close can hang on a dead broker.
func (p *Processor) close(group *kafka.ConsumerGroup) error {
	done := make(chan error, 1)
	go func() { done <- group.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(p.cfg.InsertTimeout + 5*time.Second):
		return errors.New("leave consumer group: kafka does not answer; its session will time out")
	}
}
