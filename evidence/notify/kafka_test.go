package notify_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/notify"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/topic"
)

// Findings and their changes are in the topic, also those of a time when the
// broker was killed.
func TestKafka(t *testing.T) {
	t.Parallel()
	b, k := newBench(t), embeddedtest.StartKafka(t, 1)
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.Addr}, Topic: k.Topic(topic.Findings), Partition: 0, MaxWait: 100 * time.Millisecond})
	t.Cleanup(func() { reader.Close() })
	var got []received
	next := func() received {
		t.Helper()
		var m kafka.Message
		embeddedtest.Eventually(t, time.Minute, "the next message", func(ctx context.Context) (err error) { // the broker may be away
			m, err = reader.ReadMessage(ctx)
			return err
		})
		r := received{id: topic.Header(m.Headers, topic.HeaderMessageID)}
		if err := json.Unmarshal(m.Value, &r.doc); err != nil {
			t.Fatal(err)
		}
		if want := r.doc.Metadata.TenantUID + "/" + r.doc.Info.UID; string(m.Key) != want || topic.Header(m.Headers, topic.HeaderTenant) != r.doc.Metadata.TenantUID || r.id != r.doc.Metadata.UID || r.id == "" {
			t.Errorf("key %s, want %s; headers %v", m.Key, want, m.Headers)
		}
		got = append(got, r)
		return r
	}
	outlet := func() notify.Outlet {
		return notify.Outlet{Name: "kafka", Sink: notify.NewKafka(dial.Kafka{Brokers: []string{k.Addr}}, k.Topic(topic.Findings))}
	}
	stop := b.run(nil, outlet())
	list := b.findings()
	for range list {
		next()
	}
	b.toldAll(func() []received { return got })
	k.Kill()
	b.does(list[0], worklist.Resolve, time.Time{})
	if r := next(); r.doc.Info.UID != list[0].Key || r.doc.ActivityName != "Close" || r.doc.Status != "Resolved" || r.doc.Comment != "why" {
		t.Errorf("after a kill: %+v", r)
	}
	stop()
	b.does(list[1], worklist.Acknowledge, time.Time{})
	b.run(nil, outlet())
	for seen := got; ; { // what was being told when it stopped comes again
		r := next()
		if r.doc.Info.UID == list[1].Key {
			break
		}
		if !slices.ContainsFunc(seen, func(m received) bool { return m.id == r.id }) {
			t.Fatalf("after a restart: %+v", r)
		}
	}
}
