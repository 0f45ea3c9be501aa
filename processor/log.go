package processor

import (
	"context"
	"fmt"
	"math"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/topic"
)

// load asks Kafka for the committed offset and intent; without one it begins a
// new epoch at the log's first offset.
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
			return w.begin(ctx)
		}
		c, err := parseCommit(p.CommittedOffset, p.Metadata)
		if err == nil && c.epoch == "" {
			w.log.Warn("the committed offset has no epoch; a new one begins and stored events will show as duplicates", "offset", c.offset)
			c.epoch = newEpoch()
		}
		return c, err
	}
	return commit{}, fmt.Errorf("fetch committed offset: kafka left out partition %d", w.partition)
}

func (w *worker) begin(ctx context.Context) (commit, error) {
	first, _, err := w.bounds(ctx)
	return commit{position: position{offset: first, epoch: newEpoch()}}, err
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
	res, err := w.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: w.gen.GroupID, GenerationID: int(w.gen.ID), MemberID: w.gen.MemberID,
		Topics: map[string][]kafka.OffsetCommit{w.cfg.Topic: {{Partition: w.partition, Offset: c.offset, Metadata: c.metadata()}}},
	})
	if err != nil {
		return fmt.Errorf("commit offset %d: %w", c.offset, err)
	}
	for _, p := range res.Topics[w.cfg.Topic] {
		if p.Error != nil {
			return fmt.Errorf("commit offset %d: %w", c.offset, p.Error)
		}
	}
	return nil
}

// read fetches chunks from offset on until ctx is done or it fails. Chunks that
// were used come back by free.
func (w *worker) read(ctx context.Context, offset int64, chunks chan<- *chunk, free <-chan *chunk) error {
	c, dog := &chunk{}, watchdog{}
	for ctx.Err() == nil {
		if err := w.fetch(ctx, c, offset, math.MaxInt64); err != nil {
			return err
		}
		if len(c.records) == 0 {
			if err := dog.idle(offset, c.high); err != nil {
				return err
			}
			continue
		}
		dog.fed()
		offset = c.end()
		select {
		case chunks <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case c = <-free:
		default:
			c = &chunk{}
		}
	}
	return ctx.Err()
}

// reread gives each the records from b's start to end again, no more and no less.
func (w *worker) reread(ctx context.Context, b *block, end int64, each func(*chunk, *logRecord)) error {
	c := &chunk{}
	for offset := b.start; offset < end; {
		if err := w.fetch(ctx, c, offset, end); err != nil {
			return err
		}
		for i := range c.records {
			each(c, &c.records[i])
		}
		if len(c.records) > 0 {
			offset = c.end()
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
// lies between is lost for this store, which is signed, counted and logged, and a
// new epoch begins so that the offsets mean what they meant.
func (w *worker) gap(ctx context.Context) error {
	first, last, err := w.bounds(ctx)
	if err != nil {
		return err
	}
	at := w.at
	reason, lost := seal.Overrun, first-at.offset
	switch {
	case at.offset > last:
		reason, lost = seal.Recreated, 0
	case at.offset >= first:
		return fmt.Errorf("offset %d: %w, but now it lies within it", at.offset, errOutOfRange)
	}
	w.tel.gaps.Add(ctx, 1, w.attributes())
	w.tel.lost.Add(ctx, lost, w.attributes())
	w.log.Error("records are missing from the log: retention passed the processor, or the topic was made anew",
		"reason", reason, "wanted_offset", at.offset, "log_first", first, "log_end", last, "lost_records", lost)
	next := position{offset: first, epoch: newEpoch()}
	if err := w.close(ctx, at, next, lost, reason); err != nil {
		return err
	}
	return fmt.Errorf("gap: offset %d is outside the log %d to %d; going on at %d", at.offset, first, last, first)
}

// close ends an epoch and begins the next. After a crash it is done again, with
// another next epoch, so that the record of it is there before anything is read.
func (w *worker) close(ctx context.Context, at, next position, lost int64, reason seal.Reason) error {
	if w.cfg.Sealer != nil {
		g := seal.Gap{
			Closed: w.tree(at), Size: at.edge.Size(), Root: at.edge.Root(), Next: w.tree(next),
			LostFrom: uint64(at.offset), LostTo: uint64(at.offset + lost), Reason: reason,
		}
		if err := w.cfg.Sealer.RecordGap(ctx, g); err != nil {
			return fmt.Errorf("record the gap at offset %d: %w", at.offset, err)
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
