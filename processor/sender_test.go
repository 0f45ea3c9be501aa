package processor_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// sender is a source that sends each batch until the collector's publisher has
// acknowledged it.
type sender struct {
	*pipeline
	publisher    *collector.KafkaPublisher
	base         []*event.Event
	made         int
	repeated     int      // batches that were sent again
	acknowledged []string // event ids
}

func newSender(p *pipeline) *sender {
	p.Helper()
	publisher, err := collector.NewKafkaPublisher(collector.KafkaConfig{
		Kafka: dial.Kafka{Brokers: []string{p.Kafka.Addr}}, Topic: p.Kafka.Topic(topic.Events), MaxWait: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { publisher.Close() })
	return &sender{pipeline: p, publisher: publisher, base: story.Events()}
}

// send returns when n events are acknowledged.
func (s *sender) send(n int) {
	s.Helper()
	for ; n > 0; n -= 50 {
		if err := s.batch(s.Context(), min(n, 50)); err != nil {
			s.Fatal(err)
		}
	}
}

// background sends batch after batch until the returned function is called,
// which waits until the last one is acknowledged.
func (s *sender) background(every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
			}
			if err := s.batch(s.Context(), 50); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() {
		s.Helper()
		cancel()
		if err := <-done; err != nil {
			s.Fatal(err)
		}
	}
}

func (s *sender) batch(ctx context.Context, n int) error {
	var events []collector.Canonical
	for range n {
		e := *s.base[s.made%len(s.base)]
		e.Source.EventID = fmt.Sprint(s.made)
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		s.made++
		events = append(events, collector.Canonical{Event: &e, Bytes: e.Canonical()})
	}
	for s.publisher.Publish(ctx, events) != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.repeated++
	}
	for _, c := range events {
		s.acknowledged = append(s.acknowledged, c.Event.ID)
	}
	return nil
}
