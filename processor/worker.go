package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/table"
)

// worker owns one partition for one generation of the group.
type worker struct {
	*Processor
	gen       *kafka.Generation
	partition int
	log       *slog.Logger
	next      int64 // offset to read
	epoch     string
}

func newWorker(p *Processor, gen *kafka.Generation, partition int) *worker {
	return &worker{Processor: p, gen: gen, partition: partition,
		log: p.cfg.Logger.With("topic", p.cfg.Topic, "partition", partition, "generation", gen.ID)}
}

// run works until ctx is done or the partition belongs to another. After an
// error it begins again at what Kafka has: nothing in memory is trusted.
func (w *worker) run(ctx context.Context) {
	backoff := 100 * time.Millisecond
	for ctx.Err() == nil {
		from := w.next
		err := w.consume(ctx)
		if ctx.Err() != nil {
			return
		}
		if isFenced(err) {
			w.log.Info("partition given to another member", "reason", err)
			return
		}
		w.tel.errors.Add(ctx, 1, w.attributes())
		w.log.Warn("processing interrupted, trying again", "offset", w.next, "error", err, "in", backoff)
		if w.next > from {
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
	w.next, w.epoch = c.offset, c.epoch
	if c.intent != nil {
		if err := w.recover(ctx, c); err != nil {
			return fmt.Errorf("recover offsets %d to %d: %w", c.offset, c.intent.end, err)
		}
	}
	for ctx.Err() == nil {
		b, err := w.collect(ctx)
		if err != nil {
			return err
		}
		if len(b.records) == 0 {
			continue
		}
		if err := w.commitBlock(ctx, b); err != nil {
			return fmt.Errorf("store offsets %d to %d: %w", b.start, b.end(), err)
		}
	}
	return ctx.Err()
}

// commitBlock is the protocol: intent, insert, end.
func (w *worker) commitBlock(ctx context.Context, b *block) error {
	ctx, span := w.tel.block(ctx, b)
	defer span.End()
	if err := w.identify(ctx, b); err != nil {
		return err
	}
	begin := time.Now()
	if err := w.commit(ctx, commit{b.start, b.epoch, &intent{b.end(), b.root()}}); err != nil {
		return err
	}
	w.tel.intent.Record(ctx, time.Since(begin).Seconds(), w.attributes())
	if err := w.bury(ctx, b); err != nil {
		return err
	}
	begin = time.Now()
	if err := w.store.insert(ctx, b.token(), b.records); err != nil {
		return err // outcome unknown: the next round finds the intent and settles it
	}
	w.tel.inserted(ctx, b, time.Since(begin), w.attributes())
	return w.finish(ctx, b)
}

// recover settles a block of which it is not known how much is stored.
func (w *worker) recover(ctx context.Context, c commit) error {
	b, err := w.reread(ctx, c)
	if err != nil {
		return err
	}
	if got := b.root(); got != c.intent.root {
		return fmt.Errorf("the log has changed: the intent has digest %s, the records have %s", c.intent.root, got)
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
	missing, err := w.store.settle(ctx, b)
	if err != nil {
		return err
	}
	w.tel.recovered.Add(ctx, 1, w.attributes())
	w.log.Info("unfinished block settled", "start", b.start, "end", b.end(), "were_missing", missing)
	return w.finish(ctx, b)
}

func (w *worker) finish(ctx context.Context, b *block) error {
	w.next = b.end()
	return w.commit(ctx, commit{offset: b.end(), epoch: b.epoch})
}

// identify marks what is a duplicate or in conflict.
func (w *worker) identify(ctx context.Context, b *block) error {
	seen, err := w.store.seen(ctx, b)
	if err != nil {
		return err
	}
	b.mark(seen)
	for _, r := range b.records {
		if r.State == table.Conflict {
			w.log.Error("an id was used again with other content", "tenant", r.Event.Tenant, "source", r.Event.Source.ID, "id", r.Event.ID, "offset", r.Offset)
		}
	}
	return nil
}
