package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/lease"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/topic"
)

// session is the shortest that brokers allow.
const session = 6 * time.Second

// bench is a broker, and who is at work.
type bench struct {
	testing.TB
	kafka *embeddedtest.Kafka
	topic string
	work  atomic.Int32 // how many are at it
}

func newBench(t *testing.T, of string) *bench {
	k := embeddedtest.StartKafka(t, 3)
	return &bench{TB: t, kafka: k, topic: k.Topic(of)}
}

func (b *bench) group() string { return b.topic + ".lease" }

// member wants the lease until stop, which returns what Run did. fence asks with
// its lease.
type member struct {
	*lease.Lease
	held atomic.Bool
	stop func() error
}

// start starts a member whose work ends with its lease, or with what failure gives.
func (b *bench) start(failure <-chan error) *member {
	b.Helper()
	l, err := lease.New(lease.Config{Kafka: dial.Kafka{Brokers: []string{b.kafka.Addr}}, Topic: b.topic, Group: b.group(), Session: session, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m, ended := &member{Lease: l}, make(chan error, 1)
	go func() {
		ended <- l.Run(ctx, func(ctx context.Context) error {
			if n := b.work.Add(1); n > 1 {
				b.Errorf("%d are at work", n)
			}
			defer b.work.Add(-1)
			m.held.Store(true)
			defer m.held.Store(false)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-failure:
				return err
			}
		})
	}()
	m.stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	b.Cleanup(func() { m.stop() })
	return m
}

func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	embeddedtest.Eventually(b.TB, session+time.Minute, what, func(context.Context) error {
		if !ok() {
			return errors.New("not yet")
		}
		return nil
	})
}

// members are the ids in the group, once it has agreed on that many.
func (b *bench) members(want int) (ids []string) {
	b.Helper()
	embeddedtest.Eventually(b.TB, session+time.Minute, "the group agrees", func(ctx context.Context) error {
		res, err := b.kafka.Client().DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{b.group()}})
		if err != nil {
			return err
		}
		g := res.Groups[0]
		if g.GroupState != "Stable" || len(g.Members) != want {
			return fmt.Errorf("%d members, %s", len(g.Members), g.GroupState)
		}
		ids = nil
		for _, m := range g.Members {
			ids = append(ids, m.MemberID)
		}
		return nil
	})
	return ids
}

// Of three members one works, also where the topic has more partitions than one;
// who stops hands over, and fails the fence.
func TestOneWorks(t *testing.T) {
	t.Parallel()
	b := newBench(t, topic.Events)
	all := []*member{b.start(nil), b.start(nil), b.start(nil)}
	for left := 3; left > 0; left-- {
		b.members(left)
		var holder int
		b.eventually("one holds the lease", func() bool {
			n := 0
			for i, m := range all {
				if m.held.Load() {
					holder, n = i, n+1
				}
			}
			return n == 1
		})
		for i, m := range all {
			if err := m.Fence(t.Context()); (err == nil) != (i == holder) || err != nil && !errors.Is(err, lease.ErrNotHeld) {
				t.Errorf("of the holder %t: %v", i == holder, err)
			}
		}
		began := time.Now()
		if err := all[holder].stop(); err != nil {
			t.Errorf("to stop: %v", err)
		}
		if took := time.Since(began); took > session/2 {
			t.Errorf("it took %s to stop", took)
		}
		if err := all[holder].Fence(t.Context()); !errors.Is(err, lease.ErrNotHeld) {
			t.Errorf("who stopped: %v", err)
		}
		all = append(all[:holder], all[holder+1:]...)
	}
}

// Kafka gives a member up: the fence refuses it at once, before it can have heard
// of it, and its work ends. It asks for the lease again and gets it.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, topic.Findings)
	m := b.start(nil)
	id := b.members(1)[0]
	b.eventually("it holds the lease", m.held.Load)
	if err := m.Fence(t.Context()); err != nil {
		t.Fatal(err)
	}
	res, err := b.kafka.Client().LeaveGroup(t.Context(), &kafka.LeaveGroupRequest{GroupID: b.group(), Members: []kafka.LeaveGroupRequestMember{{ID: id}}})
	if err != nil || res.Error != nil {
		t.Fatal(err, res.Error)
	}
	if err := m.Fence(t.Context()); !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("who was given up: %v", err)
	}
	b.eventually("its work ends and begins again", func() bool {
		return m.held.Load() && m.Fence(t.Context()) == nil
	})
	if again := b.members(1)[0]; again == id {
		t.Error("it is the member that was given up")
	}
}

// Work that fails ends Run with its error, and frees the lease.
func TestWorkFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, topic.Findings)
	broken := make(chan error, 1)
	m := b.start(broken)
	b.eventually("it holds the lease", m.held.Load)
	broken <- errors.New("broken")
	b.eventually("its work ends", func() bool { return !m.held.Load() })
	other := b.start(nil)
	b.eventually("another holds the lease", other.held.Load)
	if err := m.stop(); err == nil || err.Error() != "broken" {
		t.Errorf("want why it failed, got %v", err)
	}
}

// While Kafka is away nobody holds the lease for long, and when it is back somebody
// does; who asks while it is away waits.
func TestKafkaDies(t *testing.T) {
	t.Parallel()
	b := newBench(t, topic.Findings)
	m := b.start(nil)
	b.eventually("it holds the lease", m.held.Load)
	for range 2 {
		b.kafka.Kill()
		b.eventually("the fence lets it store again", func() bool { return m.Fence(t.Context()) == nil })
		b.members(1)
	}
}
