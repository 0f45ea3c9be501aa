package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/sync/semaphore"

	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/topic"
)

// KafkaConfig configures a KafkaPublisher.
type KafkaConfig struct {
	// Kafka is how the cluster is reached. Brokers are required.
	Kafka dial.Kafka
	// Topic of the events. Required; it must exist.
	Topic string
	// MaxPendingBytes bounds what waits for Kafka; 0 is 64 MiB. When it is full
	// sources are told to come back.
	MaxPendingBytes int64
	// MaxWait is how long an event may wait for room and for Kafka before its
	// source is told to send it again; 0 is 10 s. Kafka may still get the event:
	// then the processor marks the second one as a duplicate.
	MaxWait time.Duration
	// Linger is how long a batch waits for company; 0 is 2 ms. It is the floor of the latency.
	Linger time.Duration

	Logger *slog.Logger
	Meter  metric.Meter
}

// KafkaPublisher writes to custody.events and returns when all in-sync replicas
// have the record. kafka-go has no idempotent producer: a retry can leave a
// record twice in the log, with the same id, and the processor marks the second.
type KafkaPublisher struct {
	cfg     KafkaConfig
	writer  *kafka.Writer
	pending *semaphore.Weighted // bytes
	retries metric.Int64Counter
	refused atomic.Bool // what Kafka said last was that it refuses us
}

// NewKafkaPublisher returns a publisher; it connects on first use.
func NewKafkaPublisher(cfg KafkaConfig) (*KafkaPublisher, error) {
	if len(cfg.Kafka.Brokers) == 0 || cfg.Topic == "" || cfg.Logger == nil {
		return nil, errors.New("kafka publisher: Kafka.Brokers, Topic and Logger are required")
	}
	if cfg.MaxPendingBytes == 0 {
		cfg.MaxPendingBytes = 64 << 20
	}
	if cfg.MaxWait == 0 {
		cfg.MaxWait = 10 * time.Second
	}
	if cfg.Linger == 0 {
		cfg.Linger = 2 * time.Millisecond
	}
	if cfg.Meter == nil {
		cfg.Meter = metricnoop.Meter{}
	}
	retries, err := cfg.Meter.Int64Counter("custody.collector.kafka.retries", metric.WithUnit("{record}"),
		metric.WithDescription("Records written again after Kafka refused or did not answer."))
	if err != nil {
		return nil, err
	}
	p := &KafkaPublisher{cfg: cfg, writer: newWriter(cfg), pending: semaphore.NewWeighted(cfg.MaxPendingBytes), retries: retries}
	return p, nil
}

const (
	clientID     = "custody-collector"
	readyTimeout = 3 * time.Second
)

// newWriter sets every field that decides about loss: the zero value of
// kafka.Writer acknowledges nothing.
func newWriter(cfg KafkaConfig) *kafka.Writer {
	return &kafka.Writer{
		Addr:         kafka.TCP(cfg.Kafka.Brokers...),
		Topic:        cfg.Topic,
		Balancer:     &kafka.Murmur2Balancer{Consistent: true}, // as the Java client, so every producer agrees
		RequiredAcks: kafka.RequireAll,
		Async:        false,
		MaxAttempts:  3, // Publish goes on itself, with what failed
		BatchSize:    1000,
		BatchBytes:   900 << 10,
		BatchTimeout: cfg.Linger,
		Compression:  cfg.Kafka.Codec(),
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) {
			cfg.Logger.Warn("kafka writer", "error", fmt.Sprintf(format, args...))
		}),
		Transport: cfg.Kafka.Transport(clientID),
	}
}

// Publish implements [Publisher].
func (p *KafkaPublisher) Publish(ctx context.Context, events []Canonical) error {
	wait, cancel := context.WithTimeout(ctx, p.cfg.MaxWait)
	defer cancel()
	messages, size := p.messages(ctx, events)
	size = min(size, p.cfg.MaxPendingBytes) // one big batch may fill it all
	if err := p.pending.Acquire(wait, size); err != nil {
		return fmt.Errorf("%w: %d bytes already wait for kafka", ErrUnavailable, p.cfg.MaxPendingBytes)
	}
	done := make(chan error, 1)
	go func() { // owns the messages and the room they take until Kafka has answered, however late
		defer p.pending.Release(size)
		done <- p.write(wait, messages)
	}()
	select {
	case err := <-done:
		return err
	case <-wait.Done():
		return fmt.Errorf("%w: kafka has not answered", ErrUnavailable)
	}
}

// write repeats until every message is acknowledged or wait is over. The calls
// themselves have no deadline: kafka-go would report an error and deliver later.
func (p *KafkaPublisher) write(wait context.Context, messages []kafka.Message) error {
	for backoff := 50 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
		err := p.writer.WriteMessages(context.WithoutCancel(wait), messages...)
		p.report(err)
		if err == nil {
			return nil
		}
		var each kafka.WriteErrors
		if errors.As(err, &each) {
			messages = failed(messages, each)
		}
		p.retries.Add(wait, int64(len(messages)))
		select {
		case <-wait.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		case <-time.After(backoff):
		}
	}
}

// report logs once that Kafka refuses us, until it takes something again.
func (p *KafkaPublisher) report(err error) {
	var each kafka.WriteErrors
	if errors.As(err, &each) {
		err = cmp.Or(each...)
	}
	refused := errors.Is(err, dial.ErrRefused)
	if was := p.refused.Swap(refused); refused && !was {
		p.cfg.Logger.Error("kafka refuses the collector; nothing is published until that is put right", "error", err)
	}
}

func failed(messages []kafka.Message, errs kafka.WriteErrors) []kafka.Message {
	var left []kafka.Message
	for i, err := range errs {
		if err != nil {
			left = append(left, messages[i])
		}
	}
	return left
}

func (p *KafkaPublisher) messages(ctx context.Context, events []Canonical) ([]kafka.Message, int64) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	messages, size := make([]kafka.Message, len(events)), int64(0)
	for i, c := range events {
		messages[i] = topic.Message("", c.Event, c.Bytes, carrier[topic.HeaderTraceparent])
		size += int64(len(c.Bytes))
	}
	return messages, size
}

// Ready asks Kafka for the topic; nil means that it can be written. It asks over
// a connection of its own: the writer's answers from memory for a while.
func (p *KafkaPublisher) Ready(ctx context.Context) error {
	var errs []error
	for _, broker := range p.cfg.Kafka.Brokers {
		err := p.ask(ctx, broker)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("kafka %s: %w", broker, p.cfg.Kafka.Explain(err)))
	}
	return errors.Join(errs...)
}

func (p *KafkaPublisher) ask(ctx context.Context, broker string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := p.cfg.Kafka.Dialer(clientID).DialContext(ctx, "tcp", broker)
	if err != nil {
		return err
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		conn.SetDeadline(until)
	}
	partitions, err := conn.ReadPartitions(p.cfg.Topic)
	if errors.Is(err, kafka.UnknownTopicOrPartition) || err == nil && len(partitions) == 0 {
		return fmt.Errorf("topic %q is missing: run \"custody schema migrate\"", p.cfg.Topic)
	}
	return err
}

// Close waits for what is being written.
func (p *KafkaPublisher) Close() error { return p.writer.Close() }
