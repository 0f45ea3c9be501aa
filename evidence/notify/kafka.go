package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/evidence/export"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/topic"
)

// Kafka is a sink that writes to a topic; a message is taken when all in-sync
// replicas have it. The changes of one finding share a partition.
type Kafka struct{ writer *kafka.Writer }

// NewKafka returns a sink; it connects on first use.
func NewKafka(reach dial.Kafka, topicName string) *Kafka {
	return &Kafka{&kafka.Writer{
		Addr: kafka.TCP(reach.Brokers...), Topic: topicName, Balancer: &kafka.Murmur2Balancer{Consistent: true}, RequiredAcks: kafka.RequireAll,
		MaxAttempts: 1, BatchSize: BatchMessages, BatchBytes: 900 << 10, BatchTimeout: 2 * time.Millisecond, WriteTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second,
		Compression: reach.Codec(), Transport: reach.Transport("custody-notify"),
	}}
}

// Deliver implements [Sink].
func (k *Kafka) Deliver(ctx context.Context, messages []*Message) (int, error) {
	out := make([]kafka.Message, len(messages))
	for i, m := range messages {
		out[i] = kafka.Message{
			Key: []byte(m.Finding.Tenant + "/" + m.Finding.Key), Value: m.Body,
			Headers: []kafka.Header{
				{Key: topic.HeaderContentType, Value: []byte("application/json")}, {Key: topic.HeaderSchemaVersion, Value: []byte("ocsf/" + export.OCSFFindingVersion)},
				{Key: topic.HeaderTenant, Value: []byte(m.Finding.Tenant)}, {Key: topic.HeaderKind, Value: []byte("finding")}, {Key: topic.HeaderMessageID, Value: []byte(m.ID.String())},
			},
		}
	}
	err := k.writer.WriteMessages(ctx, out...)
	if err == nil {
		return len(messages), nil
	}
	var each kafka.WriteErrors
	if errors.As(err, &each) {
		for i, e := range each {
			if e != nil {
				return i, fmt.Errorf("write to kafka: %w", e) // what came behind it may be there too, and comes again
			}
		}
	}
	return 0, fmt.Errorf("write to kafka: %w", err)
}

// Close implements [Sink].
func (k *Kafka) Close() error { return k.writer.Close() }
