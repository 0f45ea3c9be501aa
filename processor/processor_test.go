package processor_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// Every record becomes one row with the right state, and a restart changes nothing.
func TestStates(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	var log []kafka.Message
	for _, e := range story.Events() {
		log = append(log, message(e))
	}
	forged := story.Named("deploy-call")
	forged.Outcome = event.Denied
	again := story.Named("deploy-call")
	again.Salt = event.NewSalt()
	log = append(log, message(forged), message(again), kafka.Message{Key: []byte("x"), Value: []byte(`{"kind":"nonsense"}`)})
	w := &kafka.Writer{Addr: kafka.TCP(p.Kafka.Addr), Topic: p.Kafka.Topic(topic.Events), Balancer: &kafka.Murmur2Balancer{Consistent: true},
		RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, Transport: p.client.Transport}
	defer w.Close()
	if err := w.WriteMessages(t.Context(), log...); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		stop := p.start()
		p.drain()
		stop()
	}
	got := map[string]int{}
	for _, state := range []string{"stored", "duplicate", "conflict", "malformed"} {
		got[state] = p.count("SELECT count() FROM records WHERE state = '" + state + "'")
	}
	// The story holds one re-delivery of its own.
	if diff := cmp.Diff(map[string]int{"stored": len(log) - 4, "duplicate": 2, "conflict": 1, "malformed": 1}, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	p.consistent()
}
