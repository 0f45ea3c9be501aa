package collector

import (
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/dial"
)

// The zero values of kafka.Writer acknowledge before anything is stored.
func TestWriterWaitsForAllReplicas(t *testing.T) {
	w := newWriter(KafkaConfig{Kafka: dial.Kafka{Brokers: []string{"127.0.0.1:1"}}, Topic: "custody.events"})
	if w.RequiredAcks != kafka.RequireAll || w.Async || w.Completion != nil {
		t.Errorf("acks %v, async %v", w.RequiredAcks, w.Async)
	}
	if w.AllowAutoTopicCreation {
		t.Error("topics are created by chance")
	}
	if w.Compression != kafka.Zstd {
		t.Errorf("compression %v", w.Compression)
	}
	if _, ok := w.Balancer.(*kafka.Murmur2Balancer); !ok {
		t.Errorf("balancer %T: other producers send a key to another partition", w.Balancer)
	}
}
