package bench

import (
	"context"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/topic"
)

// chunk is how many events are made and produced at a time.
const chunk = 8000

// createTopic creates a topic whose clock is the broker's, as custody.events has it.
func (s *estate) createTopic(ctx context.Context, name string, partitions int) error {
	res, err := s.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: name, NumPartitions: partitions, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"}, {ConfigName: "max.message.bytes", ConfigValue: "1048576"}},
	}}})
	if err == nil {
		err = res.Errors[name]
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// produced says where a batch went.
type produced struct {
	partition int
	end       int64 // the offset after its last
	count     int
}

// produce writes messages as the collector's publisher does: the same
// partitioner, compression and acknowledgement. Messages of one key keep their order.
func (s *estate) produce(ctx context.Context, name string, partitions int, messages []kafka.Message) ([]produced, error) {
	balancer := kafka.Murmur2Balancer{Consistent: true}
	numbers := make([]int, partitions)
	for i := range numbers {
		numbers[i] = i
	}
	records := make([][]kafka.Record, partitions)
	for _, m := range messages {
		p := balancer.Balance(m, numbers...)
		records[p] = append(records[p], kafka.Record{Key: kafka.NewBytes(m.Key), Value: kafka.NewBytes(m.Value), Headers: m.Headers})
	}
	var out []produced
	var mu sync.Mutex // guards out
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(8)
	for p, of := range records {
		all.Go(func() error {
			for len(of) > 0 {
				n := min(len(of), 500) // under max.message.bytes
				res, err := s.client.Produce(ctx, &kafka.ProduceRequest{Topic: name, Partition: p, RequiredAcks: kafka.RequireAll, Compression: kafka.Lz4, Records: kafka.NewRecordReader(of[:n]...)})
				if err == nil {
					err = res.Error
				}
				if err != nil {
					return fmt.Errorf("produce to %s: %w", name, err)
				}
				mu.Lock()
				out = append(out, produced{p, res.BaseOffset + int64(n), n})
				mu.Unlock()
				of = of[n:]
			}
			return nil
		})
	}
	return out, all.Wait()
}

// fill writes the events [from, to) of the workload to a new topic.
func (s *estate) fill(ctx context.Context, w *workload.Workload, name string, partitions int, from, to uint64, message func([]*event.Event) []kafka.Message) error {
	if err := s.createTopic(ctx, name, partitions); err != nil {
		return err
	}
	var events []*event.Event
	for ; from < to; from += chunk {
		events = w.Batch(events[:0], from, min(from+chunk, to))
		half := len(events) / 2
		var second []kafka.Message
		var both sync.WaitGroup
		both.Go(func() { second = message(events[half:]) })
		messages := message(events[:half])
		both.Wait()
		if _, err := s.produce(ctx, name, partitions, append(messages, second...)); err != nil {
			return err
		}
	}
	return nil
}

// canonical makes the records of custody.events.
func canonical(events []*event.Event) []kafka.Message {
	out := make([]kafka.Message, len(events))
	for i, e := range events {
		out[i] = topic.Message("", e, e.Canonical(), "")
	}
	return out
}
