package collector_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// numbered is an event of one of several tasks, which decide the partition.
func numbered(task, n int) collector.Canonical {
	e := story.Named("deploy-call")
	e.Source.EventID = fmt.Sprintf("%d-%d", task, n)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	e.Correlation.TransactionID, e.Correlation.TaskID = "", fmt.Sprint(task)
	return collector.Canonical{Event: e, Bytes: e.Canonical()}
}

func kafkaPublisher(t *testing.T, cfg collector.KafkaConfig) *collector.KafkaPublisher {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	p, err := collector.NewKafkaPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// What Publish acknowledged is in the log although the broker is killed again and
// again, in the partition of its task and in order of its publication.
func TestPublisherWhileTheBrokerIsKilled(t *testing.T) {
	t.Parallel()
	const partitions, tasks = 3, 8
	k := embeddedtest.StartKafka(t, partitions)
	p := kafkaPublisher(t, collector.KafkaConfig{Kafka: dial.Kafka{Brokers: []string{k.Addr}}, Topic: k.Topic(topic.Events), MaxWait: time.Minute})
	stop := make(chan struct{})
	acked := make([]int, tasks) // events 0 to n-1 of the task
	var all sync.WaitGroup
	for task := range tasks {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := p.Publish(t.Context(), []collector.Canonical{numbered(task, n)}); err != nil {
					t.Errorf("event %d of task %d: %v", n, task, err)
					return
				}
				acked[task] = n + 1
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		k.Kill()
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	all.Wait()
	next, where, twice := map[string]int{}, map[string]int{}, 0
	for _, m := range logged(t, k, partitions) {
		e, err := event.Decode(m.Value)
		if err != nil {
			t.Fatal(err)
		}
		task := e.Correlation.TaskID
		if was, known := where[task]; known && was != m.Partition {
			t.Fatalf("task %s is in partitions %d and %d", task, was, m.Partition)
		}
		where[task] = m.Partition
		var n int
		fmt.Sscanf(strings.TrimPrefix(e.Source.EventID, task+"-"), "%d", &n)
		switch {
		case n == next[task]:
			next[task]++
		case n < next[task]: // written again after an answer was lost
			twice++
		default:
			t.Fatalf("task %s: event %d follows %d", task, n, next[task]-1)
		}
	}
	total := 0
	for task, n := range acked {
		total += n
		if got := next[fmt.Sprint(task)]; got < n {
			t.Errorf("task %d: %d acknowledged, %d in the log", task, n, got)
		}
	}
	if total < 100 {
		t.Errorf("only %d events were published", total)
	}
	t.Logf("%d events acknowledged, %d of them twice in the log", total, twice)
}

// logged is what the topic holds, partition by partition.
func logged(t *testing.T, k *embeddedtest.Kafka, partitions int) (all []kafka.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range partitions {
		conn, err := kafka.DialLeader(ctx, "tcp", k.Addr, k.Topic(topic.Events), i)
		if err != nil {
			t.Fatal(err)
		}
		end, err := conn.ReadLastOffset()
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.Addr}, Topic: k.Topic(topic.Events), Partition: i, MaxWait: 100 * time.Millisecond})
		defer r.Close()
		for at := int64(0); at < end; at++ {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
	}
	return all
}

// Without Kafka a source hears "unavailable" in time, and so it does when too
// much waits already.
func TestPublisherWithoutKafka(t *testing.T) {
	t.Parallel()
	p := kafkaPublisher(t, collector.KafkaConfig{Kafka: dial.Kafka{Brokers: []string{"127.0.0.1:1"}}, Topic: "custody.events", MaxWait: 300 * time.Millisecond, MaxPendingBytes: 1 << 10})
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			began := time.Now()
			if err := p.Publish(t.Context(), []collector.Canonical{numbered(0, n)}); !errors.Is(err, collector.ErrUnavailable) {
				t.Errorf("event %d: %v", n, err)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("event %d waited %s", n, took)
			}
		})
	}
	all.Wait()
	if err := p.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("ready without a broker: %v", err)
	}
}

func TestPublisherReady(t *testing.T) {
	t.Parallel()
	k := embeddedtest.StartKafka(t, 1)
	if err := kafkaPublisher(t, collector.KafkaConfig{Kafka: dial.Kafka{Brokers: []string{"127.0.0.1:1", k.Addr}}, Topic: k.Topic(topic.Events)}).Ready(t.Context()); err != nil {
		t.Errorf("one of two brokers answers: %v", err)
	}
	if err := kafkaPublisher(t, collector.KafkaConfig{Kafka: dial.Kafka{Brokers: []string{k.Addr}}, Topic: k.Topic("nothing")}).Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "custody schema migrate") {
		t.Errorf("the topic is missing: %v", err)
	}
}
