package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// commits is what the group has committed.
type commits struct {
	sum int64
	of  []kafka.OffsetFetchPartition // by partition
}

func (e *estate) all() []int {
	out := make([]int, e.partitions)
	for i := range out {
		out[i] = i
	}
	return out
}

func (e *estate) committed(ctx context.Context) (*commits, error) {
	res, err := e.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{eventsTopic: e.all()}})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) { // nobody has joined yet
		return &commits{of: make([]kafka.OffsetFetchPartition, e.partitions)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fetch committed offsets: %w", err)
	}
	c := &commits{of: make([]kafka.OffsetFetchPartition, e.partitions)}
	for _, p := range res.Topics[eventsTopic] {
		if p.Error != nil {
			return nil, fmt.Errorf("fetch committed offset of partition %d: %w", p.Partition, p.Error)
		}
		c.of[p.Partition] = p
		c.sum += max(p.CommittedOffset, 0)
	}
	return c, nil
}

// bounds returns the first and the next offset of each partition of a topic.
func (e *estate) bounds(ctx context.Context, topic string, partitions []int) (map[int]kafka.PartitionOffsets, error) {
	var ask []kafka.OffsetRequest
	for _, p := range partitions {
		ask = append(ask, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	res, err := e.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	out := map[int]kafka.PartitionOffsets{}
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("list offsets of %s: %w", topic, p.Error)
		}
		out[p.Partition] = p
	}
	return out, nil
}

// drained says whether everything is committed, with no intent open.
func (e *estate) drained(ctx context.Context) error {
	ends, err := e.bounds(ctx, eventsTopic, e.all())
	if err != nil {
		return err
	}
	c, err := e.committed(ctx)
	if err != nil {
		return err
	}
	for i, p := range c.of {
		if end := ends[i].LastOffset; max(p.CommittedOffset, 0) != end || strings.Contains(p.Metadata, " end=") {
			return fmt.Errorf("partition %d ends at %d, committed is %d %q", i, end, p.CommittedOffset, p.Metadata)
		}
	}
	return nil
}

// signed says whether a checkpoint covers everything that is in the log. The
// processor that stored the last of it may be killed before it has signed that.
func (e *estate) signed(ctx context.Context) error {
	ends, err := e.bounds(ctx, eventsTopic, e.all())
	if err != nil {
		return err
	}
	for p, end := range ends {
		var size uint64
		if err := one(ctx, e.admin, fmt.Sprintf("SELECT max(size) FROM checkpoints WHERE topic = '%s' AND partition = %d", eventsTopic, p), &size); err != nil {
			return err
		}
		if size != uint64(end.LastOffset) {
			return fmt.Errorf("partition %d: %d of %d records are signed", p, size, end.LastOffset)
		}
	}
	return nil
}

// read calls record for each record of a partition, in order and without a gap.
func (e *estate) read(ctx context.Context, topic string, partition int, from, to int64, record func(offset int64, value []byte, headers []kafka.Header) error) error {
	for from < to {
		res, err := e.client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: 8 << 20, MaxWait: time.Second})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return fmt.Errorf("fetch %s/%d at %d: %w", topic, partition, from, err)
		}
		began := from
		for from < to {
			r, err := res.Records.ReadRecord()
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("read %s/%d at %d: %w", topic, partition, from, err)
			}
			if r.Offset < from {
				continue
			}
			if r.Offset > from {
				return fmt.Errorf("read %s/%d: after offset %d comes %d", topic, partition, from-1, r.Offset)
			}
			value, err := kafka.ReadAll(r.Value)
			if err != nil {
				return fmt.Errorf("read %s/%d at %d: %w", topic, partition, from, err)
			}
			if err := record(r.Offset, value, r.Headers); err != nil {
				return err
			}
			from++
		}
		if from == began {
			return fmt.Errorf("read %s/%d: nothing at %d, the log ends at %d", topic, partition, from, to)
		}
	}
	return nil
}
