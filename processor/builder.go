package processor

import (
	"context"
	"time"

	"github.com/custody-audit/custody/processor/fetch"
)

// builder makes blocks of a partition's chunks. It waits for a block's records
// without holding a block, because those are few for all partitions together.
type builder struct {
	*worker
	chunks <-chan *fetch.Chunk
	free   chan<- *fetch.Chunk
	at     position       // where the next block begins
	held   []*fetch.Chunk // gathered; the first may be used in part
	used   int            // records of held[0] that are in a block already
}

// maxChunks is how many used chunks wait to be filled again.
const maxChunks = 4

// run returns when ctx is done or when all chunks are in blocks and no more come.
func (b *builder) run(ctx context.Context, blocks chan<- *block) error {
	for {
		if more, err := b.gather(ctx); err != nil || !more {
			return err
		}
		next, err := b.slots.take(ctx)
		if err != nil {
			return err
		}
		next.partition, next.registry = b.partition, b.registry()
		next.begin(b.at)
		b.fill(ctx, next)
		next.grow()
		b.at = next.next()
		select {
		case blocks <- next:
		case <-ctx.Done():
			b.slots.put(next)
			return ctx.Err()
		}
	}
}

// gather waits for records, and then for as many as make a good block, but not
// longer than BlockWait. It returns false when there are none and none come.
func (b *builder) gather(ctx context.Context) (bool, error) {
	if len(b.held) == 0 && !b.hold(ctx, nil) {
		return false, ctx.Err()
	}
	timer := time.NewTimer(b.cfg.BlockWait)
	defer timer.Stop()
	for !b.enough() && b.hold(ctx, timer.C) {
	}
	return true, ctx.Err()
}

// hold waits for another chunk. It returns false when it has none.
func (b *builder) hold(ctx context.Context, enough <-chan time.Time) bool {
	select {
	case c, ok := <-b.chunks:
		if ok {
			b.held = append(b.held, c)
		}
		return ok
	case <-enough:
	case <-ctx.Done():
	}
	return false
}

func (b *builder) enough() bool {
	records, bytes := -b.used, 0
	for _, c := range b.held {
		records += len(c.Records)
		bytes += c.Bytes()
	}
	return records >= b.cfg.BlockRecords || bytes >= b.gatherBytes
}

// fill adds what is held, and on as long as the block has room and the log more.
func (b *builder) fill(ctx context.Context, next *block) {
	for {
		for len(b.held) > 0 {
			c := b.held[0]
			for ; b.used < len(c.Records); b.used++ {
				if next.rows.Rows() >= b.cfg.BlockRecords || next.rows.Bytes() >= b.cfg.BlockBytes {
					return
				}
				next.add(b.cfg.Topic, c, &c.Records[b.used])
			}
			caughtUp := len(b.held) == 1 && c.End() >= c.High
			b.release()
			if caughtUp {
				return
			}
		}
		if !b.hold(ctx, time.After(fetchWait)) {
			return
		}
	}
}

// release gives the first chunk back to be filled again.
func (b *builder) release() {
	select {
	case b.free <- b.held[0]:
	default:
	}
	b.held = append(b.held[:0], b.held[1:]...)
	b.used = 0
}
