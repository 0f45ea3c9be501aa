package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/topic"
)

// fetchWait is how long Kafka may hold a fetch open.
const fetchWait = 250 * time.Millisecond

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
	return commit{offset: first, epoch: newEpoch()}, err
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

// collect reads from w.next until a block is full or has waited long enough.
func (w *worker) collect(ctx context.Context) (*block, error) {
	b := &block{epoch: w.epoch, partition: w.partition, start: w.next}
	deadline := time.Now().Add(w.cfg.BlockWait)
	for len(b.records) < w.cfg.BlockRecords && b.bytes < w.cfg.BlockBytes {
		got, err := w.fetch(ctx, b, b.start+int64(w.cfg.BlockRecords))
		if err != nil {
			return nil, err
		}
		if left := time.Until(deadline); left <= 0 {
			break
		} else if got == 0 && len(b.records) > 0 && left < fetchWait {
			break // another fetch would outlast the deadline
		}
	}
	return b, nil
}

// reread reads the block of an intent again, no more and no less.
func (w *worker) reread(ctx context.Context, c commit) (*block, error) {
	b := &block{epoch: c.epoch, partition: w.partition, start: c.offset}
	for b.end() < c.intent.end {
		got, err := w.fetch(ctx, b, c.intent.end)
		if err != nil {
			return nil, err
		}
		if got == 0 {
			if _, last, err := w.bounds(ctx); err != nil {
				return nil, err
			} else if last < c.intent.end {
				return nil, fmt.Errorf("kafka lost records: its log ends at %d, the intent at %d", last, c.intent.end)
			}
		}
	}
	return b, nil
}

// fetch appends to b what one fetch gives, up to limit, and checks that no
// offset is left out.
func (w *worker) fetch(ctx context.Context, b *block, limit int64) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+10*time.Second)
	defer cancel()
	res, err := w.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: w.cfg.Topic, Partition: w.partition, Offset: b.end(),
		MinBytes: 1, MaxBytes: 4 << 20, MaxWait: fetchWait,
	})
	if err != nil {
		return 0, fmt.Errorf("fetch offset %d: %w", b.end(), err)
	}
	if errors.Is(res.Error, kafka.OffsetOutOfRange) {
		return 0, w.gap(ctx, b)
	}
	if res.Error != nil {
		return 0, fmt.Errorf("fetch offset %d: %w", b.end(), res.Error)
	}
	w.tel.lag(ctx, res.HighWatermark-b.end(), w.attributes())
	return w.take(b, res.Records, limit)
}

func (w *worker) take(b *block, records kafka.RecordReader, limit int64) (int, error) {
	before := len(b.records)
	for b.end() < limit {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last batch may be cut
			break
		}
		if err != nil {
			return 0, fmt.Errorf("read records at offset %d: %w", b.end(), err)
		}
		if r.Offset < b.end() {
			continue // a batch begins before the offset asked for
		}
		if r.Offset > b.end() {
			return 0, fmt.Errorf("kafka left out offsets %d to %d", b.end(), r.Offset-1)
		}
		m, err := message(w.cfg.Topic, w.partition, r)
		if err != nil {
			return 0, err
		}
		b.add(m)
	}
	return len(b.records) - before, nil
}

func message(topic string, partition int, r *kafka.Record) (*kafka.Message, error) {
	key, err := kafka.ReadAll(r.Key)
	if err != nil {
		return nil, fmt.Errorf("read key at offset %d: %w", r.Offset, err)
	}
	value, err := kafka.ReadAll(r.Value)
	if err != nil {
		return nil, fmt.Errorf("read value at offset %d: %w", r.Offset, err)
	}
	return &kafka.Message{Topic: topic, Partition: partition, Offset: r.Offset, Key: key, Value: value, Headers: r.Headers, Time: r.Time}, nil
}

// gap is called when Kafka no longer has (or never had) the next offset. What
// lies between is lost for this store, which is counted and logged, and a new
// epoch begins so that the offsets mean what they meant.
func (w *worker) gap(ctx context.Context, b *block) error {
	first, last, err := w.bounds(ctx)
	if err != nil {
		return err
	}
	if len(b.records) > 0 {
		return fmt.Errorf("offset %d fell out of the log while reading", b.end())
	}
	lost := max(first-b.start, 0)
	w.tel.gaps.Add(ctx, 1, w.attributes())
	w.tel.lost.Add(ctx, lost, w.attributes())
	w.log.Error("records are missing from the log: retention passed the processor, or the topic was made anew",
		"wanted_offset", b.start, "log_first", first, "log_end", last, "lost_records", lost)
	w.next, w.epoch = first, newEpoch()
	if err := w.commit(ctx, commit{offset: first, epoch: w.epoch}); err != nil {
		return err
	}
	return fmt.Errorf("gap: offset %d is outside the log %d to %d; going on at %d", b.start, first, last, first)
}

// bury sends what is no event to the dead-letter topic. After a crash it is sent again.
func (w *worker) bury(ctx context.Context, b *block) error {
	if len(b.messages) == 0 {
		return nil
	}
	dead := make([]kafka.Message, len(b.messages))
	for i := range b.messages {
		m := &b.messages[i]
		dead[i] = topic.DeadLetterMessage("", m, b.records[m.Offset-b.start].Problem)
	}
	if err := w.dead.WriteMessages(ctx, dead...); err != nil {
		return fmt.Errorf("write dead letters: %w", err)
	}
	return nil
}
