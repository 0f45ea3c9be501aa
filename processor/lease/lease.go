// Package lease lets one of several processes work at a time, where each could and
// the work of one is enough: detections, and telling others of findings.
//
// A consumer group of Kafka keeps the lease: of its members the one that is assigned
// partition 0 of a topic holds it. Nothing is read from that topic.
//
// It guarantees that somebody holds the lease some seconds after its holder ended
// or fell silent, while Kafka answers, and that [Lease.Fence] refuses whoever Kafka
// has given up. It does not guarantee that the work of one has ended when another
// begins: who sleeps through its session learns of it at its next heartbeat. So
// the work must be harmless when it is done twice, and what is not stands behind
// the fence.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/metric"

	"github.com/custody-audit/custody/schemas/dial"
)

// Config configures a Lease.
type Config struct {
	// Kafka is how the cluster is reached. Brokers are required.
	Kafka dial.Kafka
	// Topic that exists. Required.
	Topic string
	// Group is the consumer group of all who want the lease. Required.
	Group string
	// Session after which the lease of a silent holder goes to another; 0 is 10 s.
	// Kafka's group.min.session.timeout.ms bounds it below.
	Session time.Duration

	Logger *slog.Logger // required
	Meter  metric.Meter
}

// Lease is a wish to work, and while it is held the right to.
type Lease struct {
	cfg Config
	tel *telemetry

	mu   sync.Mutex
	held *kafka.Generation // guarded by mu; nil: not held
}

// New returns a lease that nobody asks for yet.
func New(cfg Config) (*Lease, error) {
	if len(cfg.Kafka.Brokers) == 0 || cfg.Topic == "" || cfg.Group == "" || cfg.Logger == nil || cfg.Session < 0 {
		return nil, errors.New("lease: want Kafka.Brokers, Topic, Group, a Logger, and a Session of 0 or more")
	}
	if cfg.Session == 0 {
		cfg.Session = 10 * time.Second
	}
	tel, err := newTelemetry(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	return &Lease{cfg: cfg, tel: tel}, nil
}

// ErrNotHeld is what Fence says to who has no lease.
var ErrNotHeld = errors.New("the lease is another's, or nobody's")

// Fence asks Kafka whether the lease is still held. A process that slept through
// its session learns here that it was given up. It takes no longer than a session.
func (l *Lease) Fence(context.Context) error {
	l.mu.Lock()
	held := l.held
	l.mu.Unlock()
	if held == nil {
		return ErrNotHeld
	}
	// Kafka takes a commit from the members of the present generation only.
	if err := held.CommitOffsets(map[string]map[int]int64{l.cfg.Topic: {0: 0}}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotHeld, err)
	}
	return nil
}

// closeTimeout bounds leaving the group, and what work may take to end when the
// lease is lost.
const closeTimeout = 30 * time.Second

// Run waits for the lease and does work while it is held, again and again, until
// ctx is done or work fails. The context of work ends with the lease, and work
// must then end within closeTimeout.
func (l *Lease) Run(ctx context.Context, work func(context.Context) error) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: l.cfg.Group, Brokers: l.cfg.Kafka.Brokers, Dialer: l.cfg.Kafka.Dialer("custody-lease"), Topics: []string{l.cfg.Topic},
		StartOffset: kafka.FirstOffset, SessionTimeout: l.cfg.Session, HeartbeatInterval: l.cfg.Session / 4,
		Timeout: l.cfg.Session, RebalanceTimeout: closeTimeout, JoinGroupBackoff: time.Second,
	})
	if err != nil {
		return fmt.Errorf("ask for the lease: %w", err)
	}
	l.set(ctx, nil)
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for away := false; running.Err() == nil; {
		gen, err := group.Next(running) // after an error the group pauses by itself
		if err != nil {
			if running.Err() == nil && !away {
				l.cfg.Logger.Warn("the lease cannot be asked for and will be", "group", l.cfg.Group, "error", err)
			}
			away = true
			continue
		}
		away = false
		if !slices.ContainsFunc(gen.Assignments[l.cfg.Topic], func(a kafka.PartitionAssignment) bool { return a.ID == 0 }) {
			continue // until the members change
		}
		gen.Start(func(lost context.Context) {
			if err := l.hold(running, lost, gen, work); err != nil {
				fail(err)
			}
		})
	}
	err = l.close(group)
	if why := context.Cause(running); why != context.Cause(ctx) {
		err = errors.Join(why, err)
	}
	return err
}

// hold works until the lease is lost or ctx is done.
func (l *Lease) hold(ctx, lost context.Context, gen *kafka.Generation, work func(context.Context) error) error {
	both, cancel := context.WithCancel(lost)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	l.set(ctx, gen)
	defer l.set(ctx, nil)
	l.cfg.Logger.Info("the lease is held", "group", l.cfg.Group, "generation", gen.ID)
	err := work(both)
	if both.Err() != nil { // it was told to end
		l.cfg.Logger.Info("the lease is given back or lost", "group", l.cfg.Group, "generation", gen.ID)
		return nil
	}
	return err
}

func (l *Lease) set(ctx context.Context, gen *kafka.Generation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = gen
	l.tel.holds(ctx, l.cfg.Group, gen != nil)
}

// close leaves the group, so that another need not wait for the session to end.
// kafka-go's Close can hang on a dead broker.
func (l *Lease) close(group *kafka.ConsumerGroup) error {
	done := make(chan error, 1)
	go func() { done <- group.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(closeTimeout):
		return errors.New("give the lease back: kafka does not answer, or the work does not end; the lease will time out")
	}
}
