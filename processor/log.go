package processor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"

	"github.com/custody-audit/custody/processor/fetch"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/topic"
)

// load asks Kafka for the committed position and intent. Without one a new epoch
// begins at the log's first offset, or where another tool has set the group.
func (w *worker) load(ctx context.Context) (commit, error) {
	res, err := w.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: w.gen.GroupID, Topics: map[string][]int{w.cfg.Topic: {w.partition}}})
	if err != nil {
		return commit{}, fmt.Errorf("fetch committed offset: %w", err)
	}
	if res.Error != nil {
		return commit{}, fmt.Errorf("fetch committed offset: %w", res.Error)
	}
	for _, p := range res.Topics[w.cfg.Topic] {
		if p.Partition != w.partition {
			continue
		}
		if p.Error != nil {
			return commit{}, fmt.Errorf("fetch committed offset: %w", p.Error)
		}
		if p.CommittedOffset < 0 {
			first, _, err := w.bounds(ctx)
			if err != nil {
				return commit{}, err
			}
			return w.begin(ctx, first)
		}
		c, err := parseCommit(p.CommittedOffset, p.Metadata)
		if err == nil && c.epoch == "" {
			return w.begin(ctx, c.offset)
		}
		return c, err
	}
	return commit{}, fmt.Errorf("fetch committed offset: kafka left out partition %d", w.partition)
}

// begin starts an epoch at offset without knowing what was read before: nothing,
// or the group's offset was lost or set by another tool, which ends the epoch
// that was sealed last.
func (w *worker) begin(ctx context.Context, offset int64) (commit, error) {
	next := position{offset: offset, epoch: newEpoch()}
	closed, size, root, err := w.store.sealed(ctx, w.cfg.Topic, w.partition)
	if err != nil {
		return commit{}, err
	}
	if size == 0 {
		return commit{position: next}, w.commit(ctx, commit{position: next})
	}
	end := closed.Base + size
	w.log.Error("the group's offset is not ours: it was lost, or set by another tool; a new epoch begins, and what is read again will show as duplicates",
		"offset", offset, "sealed_to", end)
	g := seal.Gap{Closed: closed, Size: size, Root: root, LostFrom: end, LostTo: max(end, uint64(offset)), Reason: seal.Unknown}
	return commit{position: next}, w.close(ctx, g, next)
}

// same checks that the log still has what was read last, so that a topic that was
// made anew and has grown past our offset is not taken for its predecessor.
func (w *worker) same(ctx context.Context) error {
	if w.at.edge.Size() == 0 {
		return nil
	}
	c := &fetch.Chunk{}
	err := w.fetch(ctx, c, w.at.offset-1, w.at.offset)
	if errors.Is(err, errOutOfRange) {
		return nil // retention took it; the next fetch tells whether more is gone
	}
	if err != nil {
		return err
	}
	if len(c.Records) == 0 || sha256.Sum256(c.Leaf(&c.Records[0])) == w.at.last {
		return nil
	}
	return w.restart(ctx, seal.Changed)
}

// restart ends the epoch and begins the next with the log's first record.
func (w *worker) restart(ctx context.Context, reason seal.Reason) error {
	first, _, err := w.bounds(ctx)
	if err != nil {
		return err
	}
	return w.end(ctx, position{offset: first, epoch: newEpoch()}, 0, reason)
}

// bounds returns the first offset of the log and the one after its last.
func (w *worker) bounds(ctx context.Context) (first, last int64, err error) {
	res, err := w.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		w.cfg.Topic: {kafka.FirstOffsetOf(w.partition), kafka.LastOffsetOf(w.partition)},
	}})
	if err != nil {
		return 0, 0, fmt.Errorf("list offsets: %w", err)
	}
	for _, p := range res.Topics[w.cfg.Topic] {
		if p.Partition == w.partition {
			if p.Error != nil {
				return 0, 0, fmt.Errorf("list offsets: %w", p.Error)
			}
			return p.FirstOffset, p.LastOffset, nil
		}
	}
	return 0, 0, fmt.Errorf("list offsets: kafka left out partition %d", w.partition)
}

// commit writes under this member's generation, and so is refused once the
// group has given the partition away.
func (w *worker) commit(ctx context.Context, c commit) error {
	err := w.coordinator.commit(ctx, offsetcommit.Request{
		GroupID: w.gen.GroupID, GenerationID: w.gen.ID, MemberID: w.gen.MemberID, RetentionTimeMs: -1, // as long as the broker keeps offsets
		Topics: []offsetcommit.RequestTopic{{Name: w.cfg.Topic, Partitions: []offsetcommit.RequestPartition{
			{PartitionIndex: int32(w.partition), CommittedOffset: c.offset, CommittedLeaderEpoch: -1, CommittedMetadata: c.metadata()},
		}}},
	})
	if err != nil {
		return fmt.Errorf("commit offset %d: %w", c.offset, err)
	}
	return nil
}

// read fetches chunks from offset on until ctx is done or it fails. Chunks that
// were used come back by free.
func (w *worker) read(ctx context.Context, offset int64, chunks chan<- *fetch.Chunk, free <-chan *fetch.Chunk) error {
	c, dog := &fetch.Chunk{}, watchdog{}
	for ctx.Err() == nil {
		if err := w.fetch(ctx, c, offset, math.MaxInt64); err != nil {
			return err
		}
		if len(c.Records) == 0 {
			if err := dog.idle(offset, c.High); err != nil {
				return err
			}
			continue
		}
		dog.fed()
		offset = c.End()
		select {
		case chunks <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case c = <-free:
		default:
			c = &fetch.Chunk{}
		}
	}
	return ctx.Err()
}

// reread gives each the records from b's start to end again, no more and no less.
func (w *worker) reread(ctx context.Context, b *block, end int64, each func(*fetch.Chunk, *fetch.Record)) error {
	c := &fetch.Chunk{}
	for offset := b.start; offset < end; {
		if err := w.fetch(ctx, c, offset, end); err != nil {
			return err
		}
		for i := range c.Records {
			each(c, &c.Records[i])
		}
		if len(c.Records) > 0 {
			offset = c.End()
			continue
		}
		if _, last, err := w.bounds(ctx); err != nil {
			return err
		} else if last < end {
			return fmt.Errorf("kafka lost records: its log ends at %d, the intent at %d", last, end)
		}
	}
	return nil
}

// gap is called when Kafka no longer has (or never had) the next offset. What
// lies between is lost for this store, and a new epoch begins so that the offsets
// mean what they meant.
func (w *worker) gap(ctx context.Context) error {
	first, last, err := w.bounds(ctx)
	if err != nil {
		return err
	}
	reason, lost := seal.Overrun, first-w.at.offset
	switch {
	case w.at.offset > last:
		reason, lost = seal.Recreated, 0
	case w.at.offset >= first:
		return fmt.Errorf("offset %d: %w, but now it lies within it", w.at.offset, errOutOfRange)
	}
	return w.end(ctx, position{offset: first, epoch: newEpoch()}, lost, reason)
}

// end ends the epoch at the committed position. It always returns an error: the
// worker begins again with the next epoch.
func (w *worker) end(ctx context.Context, next position, lost int64, reason seal.Reason) error {
	w.log.Error("the log does not go on where it was read to: retention passed the processor, or the topic was made anew",
		"reason", reason, "wanted_offset", w.at.offset, "next_offset", next.offset, "lost_records", lost)
	from := uint64(w.at.offset)
	g := seal.Gap{Closed: w.tree(w.at), Size: w.at.edge.Size(), Root: w.at.edge.Root(), LostFrom: from, LostTo: from + uint64(lost), Reason: reason}
	if err := w.close(ctx, g, next); err != nil {
		return err
	}
	return fmt.Errorf("gap: %s at offset %d; going on at %d", reason, w.at.offset, next.offset)
}

// close records a gap and commits the next epoch. After a crash in between both
// are done again, with another next epoch, so that nothing is read before the
// record is there.
func (w *worker) close(ctx context.Context, g seal.Gap, next position) error {
	w.tel.gaps.Add(ctx, 1, w.attributes())
	w.tel.lost.Add(ctx, int64(g.LostTo-g.LostFrom), w.attributes())
	g.Next = w.tree(next)
	if w.cfg.Sealer != nil {
		if err := w.cfg.Sealer.RecordGap(ctx, g); err != nil {
			return fmt.Errorf("record the gap at offset %d: %w", g.LostFrom, err)
		}
	}
	return w.commit(ctx, commit{position: next})
}

// bury sends what is no event to the dead-letter topic. After a crash it is sent again.
func (w *worker) bury(ctx context.Context, b *block) error {
	if len(b.dead) == 0 {
		return nil
	}
	dead := make([]kafka.Message, len(b.dead))
	for i := range b.dead {
		dead[i] = topic.DeadLetterMessage("", &b.dead[i], b.problems[i])
	}
	if err := w.dead.WriteMessages(ctx, dead...); err != nil {
		return fmt.Errorf("write dead letters: %w", err)
	}
	return nil
}
