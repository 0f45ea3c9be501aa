package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/processor/fetch"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/table"
)

// worker owns one partition for one generation of the group.
//
// Three goroutines pass the log on: read fetches chunks of it, build makes
// blocks of them, and the worker's own stores those one after the other. All
// begin at what Kafka says is committed.
type worker struct {
	*Processor
	gen       *kafka.Generation
	partition int
	log       *slog.Logger
	at        position // committed
	reader    fetch.Reader
	// gatherBytes bounds the chunks that the worker holds of a block that has not begun.
	gatherBytes int
}

func newWorker(p *Processor, gen *kafka.Generation, partition, partitions int) *worker {
	return &worker{Processor: p, gen: gen, partition: partition,
		log: p.cfg.Logger.With("topic", p.cfg.Topic, "partition", partition, "generation", gen.ID),
		reader: fetch.Reader{Transport: p.transport, Addr: p.client.Addr, ClientID: clientID, Topic: p.cfg.Topic, Partition: partition,
			MaxBytes: min(max(4<<20/partitions, 64<<10), 512<<10), Wait: fetchWait},
		gatherBytes: min(max(16<<20/partitions, 1<<20), 4<<20),
	}
}

// run works until ctx is done or the partition belongs to another. After an
// error it begins again at what Kafka has: nothing in memory is trusted.
func (w *worker) run(ctx context.Context) {
	backoff := 100 * time.Millisecond
	for ctx.Err() == nil {
		from := w.at.offset
		err := w.consume(ctx)
		if ctx.Err() != nil {
			return
		}
		if isFenced(err) {
			w.log.Info("partition given to another member", "reason", err)
			return
		}
		w.tel.errors.Add(ctx, 1, w.attributes())
		w.transport.CloseIdleConnections() // of a broker that is gone, or answers no more
		w.log.Warn("processing interrupted, trying again", "offset", w.at.offset, "error", err, "in", backoff)
		if w.at.offset > from {
			backoff = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, 5*time.Second)
	}
}

// isFenced tells that this member's generation is over.
func isFenced(err error) bool {
	return errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) ||
		errors.Is(err, kafka.RebalanceInProgress) || errors.Is(err, kafka.FencedInstanceID)
}

func (w *worker) consume(ctx context.Context) error {
	c, err := w.load(ctx)
	if err != nil {
		return err
	}
	w.at = c.position
	if err := w.same(ctx); err != nil {
		return err
	}
	if c.intent != nil {
		if err := w.recover(ctx, c); err != nil {
			return fmt.Errorf("recover offsets %d to %d: %w", c.offset, c.intent.end, err)
		}
	}
	if w.cfg.Sealer != nil { // what a member that died stored and did not sign; nothing may follow it for long
		w.cfg.Sealer.Grown(w.tree(w.at), w.at.edge.Size(), &w.at.edge, nil)
	}
	err = w.pump(ctx)
	if errors.Is(err, errOutOfRange) && ctx.Err() == nil {
		return w.gap(ctx)
	}
	return err
}

// pump moves blocks from the log to the store until ctx is done or something
// goes wrong; then all of its goroutines have ended. What was read before the
// log failed is stored first.
func (w *worker) pump(ctx context.Context) error {
	group, both := errgroup.WithContext(ctx)
	chunks, free := make(chan *fetch.Chunk, 1), make(chan *fetch.Chunk, maxChunks)
	blocks := make(chan *block)
	var logErr error // written before chunks is closed, read when all have ended
	group.Go(func() error {
		defer close(chunks)
		logErr = w.read(both, w.at.offset, chunks, free)
		return nil
	})
	group.Go(func() error {
		defer close(blocks)
		b := builder{worker: w, chunks: chunks, free: free, at: w.at}
		return b.run(both, blocks)
	})
	group.Go(func() error {
		for b := range blocks {
			err := w.commitBlock(both, b)
			w.slots.put(b)
			if err != nil {
				return fmt.Errorf("store offsets %d to %d: %w", b.start, b.end(), err)
			}
		}
		return nil
	})
	err := group.Wait()
	for b := range blocks { // built when the store had ended
		w.slots.put(b)
	}
	if err == nil {
		err = logErr
	}
	return err
}

// commitBlock is the protocol: intent, insert, end.
func (w *worker) commitBlock(ctx context.Context, b *block) error {
	ctx, span := w.tel.block(ctx, b)
	defer span.End()
	if err := w.identify(ctx, b); err != nil {
		return err
	}
	begin := time.Now()
	if err := w.commit(ctx, commit{b.at(), &intent{b.end(), b.root()}}); err != nil {
		return err
	}
	w.tel.intent.Record(ctx, time.Since(begin).Seconds(), w.attributes())
	if err := w.bury(ctx, b); err != nil {
		return err
	}
	begin = time.Now()
	if err := w.store.insert(ctx, b.token(), b.rows); err != nil {
		return err // outcome unknown: the next round finds the intent and settles it
	}
	w.tel.inserted(ctx, b, time.Since(begin), w.attributes())
	return w.finish(ctx, b)
}

// recover settles a block of which it is not known how much is stored.
func (w *worker) recover(ctx context.Context, c commit) error {
	b, err := w.slots.take(ctx)
	if err != nil {
		return err
	}
	defer w.slots.put(b)
	b.partition, b.registry = w.partition, w.registry()
	b.begin(c.position)
	if err := w.reread(ctx, b, c.intent.end, func(chunk *fetch.Chunk, r *fetch.Record) { b.add(w.cfg.Topic, chunk, r) }); err != nil {
		return err
	}
	b.grow()
	if got := b.root(); got != c.intent.root {
		w.log.Error("the log has changed", "start", b.start, "end", b.end(), "intended_root", c.intent.root, "root", got)
		return w.restart(ctx, seal.Changed)
	}
	if err := w.identify(ctx, b); err != nil {
		return err
	}
	// The same intent again, under this generation: whoever wrote it is refused from here on.
	if err := w.commit(ctx, c); err != nil {
		return err
	}
	if err := w.bury(ctx, b); err != nil {
		return err
	}
	missing, err := w.store.settle(ctx, b, func(stored map[uint64]bool) (*table.Block, error) { return w.rest(ctx, b, stored) })
	if err != nil {
		return err
	}
	w.tel.recovered.Add(ctx, 1, w.attributes())
	w.log.Info("unfinished block settled", "start", b.start, "end", b.end(), "were_missing", missing)
	return w.finish(ctx, b)
}

// rest returns the rows of b that are not stored.
func (w *worker) rest(ctx context.Context, b *block, stored map[uint64]bool) (*table.Block, error) {
	if len(stored) == 0 {
		return b.rows, nil
	}
	scratch := newBlock()
	scratch.partition, scratch.registry = b.partition, b.registry
	scratch.begin(b.at())
	err := w.reread(ctx, b, b.end(), func(c *fetch.Chunk, lr *fetch.Record) {
		if stored[uint64(lr.Offset)] {
			return
		}
		r := scratch.row(w.cfg.Topic, c, lr)
		r.State, r.Problem = b.rows.State(int(lr.Offset - b.start))
		scratch.rows.Add(r)
	})
	return scratch.rows, err
}

// finish commits the block's end, and lets the tree be signed.
func (w *worker) finish(ctx context.Context, b *block) error {
	if err := w.commit(ctx, commit{position: b.next()}); err != nil {
		return err
	}
	w.at = b.next()
	if w.cfg.Sealer != nil {
		w.cfg.Sealer.Grown(w.tree(w.at), b.before.Size(), &w.at.edge, b.nodes)
	}
	return nil
}

// tree is the one whose leaves the epoch's records are.
func (w *worker) tree(at position) seal.Tree {
	return seal.Tree{Topic: w.cfg.Topic, Partition: w.partition, Epoch: at.epoch, Base: uint64(at.base())}
}

// identify marks what is a duplicate or in conflict.
func (w *worker) identify(ctx context.Context, b *block) error {
	doubtful, err := w.seen.doubtful(ctx, b.events)
	if err != nil || len(doubtful) == 0 {
		return err
	}
	stored, err := w.store.find(ctx, b, doubtful)
	if err != nil {
		return err
	}
	for _, e := range b.mark(doubtful, stored) {
		w.log.Error("an id was used again with other content", "id", e.id, "offset", b.start+int64(e.row))
	}
	return nil
}
