package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// span is a piece of a partition's log; end is not included.
type span struct {
	partition int
	from, end int64
}

// ranges is what is to be read for a filter: the log as it is now.
func (r *Reader) ranges(ctx context.Context, f *Filter) ([]span, error) {
	count, err := r.partitions(ctx)
	if err != nil {
		return nil, err
	}
	var out []span
	for partition := range count {
		first, end, err := r.bounds(ctx, partition)
		if err != nil {
			return nil, err
		}
		if !f.Since.IsZero() && first < end {
			if first, err = r.since(ctx, partition, f.Since, end); err != nil {
				return nil, err
			}
		}
		if f.At == nil {
			out = append(out, span{partition, first, end})
			continue
		}
		for _, p := range f.At {
			if p.Partition == partition && p.Offset >= first && p.Offset < end {
				out = append(out, span{partition, p.Offset, p.Offset + 1})
			}
		}
	}
	return out, nil
}

func (r *Reader) partitions(ctx context.Context) (int, error) {
	meta, err := settled(ctx, func() (*kafka.MetadataResponse, error) {
		return r.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{r.topic}})
	})
	if err != nil {
		return 0, fmt.Errorf("ask for topic %q: %w", r.topic, err)
	}
	if len(meta.Topics) == 0 || meta.Topics[0].Error != nil || len(meta.Topics[0].Partitions) == 0 {
		return 0, fmt.Errorf("topic %q is missing: run \"custody schema migrate\"", r.topic)
	}
	return len(meta.Topics[0].Partitions), nil
}

// bounds returns the first offset of the log and the one after its last.
func (r *Reader) bounds(ctx context.Context, partition int) (first, end int64, err error) {
	o, err := r.offsets(ctx, partition, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	return o.FirstOffset, o.LastOffset, err
}

// since returns the first offset of a time, or end.
func (r *Reader) since(ctx context.Context, partition int, at time.Time, end int64) (int64, error) {
	o, err := r.offsets(ctx, partition, kafka.TimeOffsetOf(partition, at))
	for offset := range o.Offsets {
		if offset >= 0 {
			end = min(end, offset)
		}
	}
	return end, err
}

func (r *Reader) offsets(ctx context.Context, partition int, ask ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	o, err := settled(ctx, func() (kafka.PartitionOffsets, error) {
		res, err := r.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{r.topic: ask}})
		if err != nil {
			return kafka.PartitionOffsets{}, err
		}
		for _, o := range res.Topics[r.topic] {
			if o.Partition == partition {
				return o, o.Error
			}
		}
		return kafka.PartitionOffsets{}, fmt.Errorf("kafka left out partition %d", partition)
	})
	if err != nil {
		return o, fmt.Errorf("list offsets of %q: %w", r.topic, err)
	}
	return o, nil
}

// settled asks again for a while when Kafka says that this may help, as while a
// partition gets another leader.
func settled[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		answer, err := ask()
		var passing kafka.Error
		if !errors.As(err, &passing) || !passing.Temporary() {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}
