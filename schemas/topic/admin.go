package topic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Layout says how the topics are created.
type Layout struct {
	// Prefix of every topic name; empty for none.
	Prefix string
	// Partitions of custody.events, at least 1. It cannot be changed later without moving keys.
	Partitions int
	// Replication is the replica count; 3 in production, 1 on one broker.
	Replication int
}

// config returns the topic settings: the broker's clock orders the log, and a
// write counts only when a majority has it.
func (l Layout) config(retention time.Duration) []kafka.ConfigEntry {
	return []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "compression.type", ConfigValue: "producer"},
		{ConfigName: "max.message.bytes", ConfigValue: "1048576"},
		{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"},
		{ConfigName: "min.insync.replicas", ConfigValue: fmt.Sprint(l.Replication/2 + 1)},
		{ConfigName: "retention.ms", ConfigValue: fmt.Sprint(retention.Milliseconds())},
	}
}

func (l Layout) topics() []kafka.TopicConfig {
	const day = 24 * time.Hour
	make := func(name string, partitions int, retention time.Duration) kafka.TopicConfig {
		return kafka.TopicConfig{
			Topic: Name(l.Prefix, name), NumPartitions: partitions,
			ReplicationFactor: l.Replication, ConfigEntries: l.config(retention),
		}
	}
	return []kafka.TopicConfig{
		make(Events, l.Partitions, 7*day),
		make(DeadLetter, 1, 30*day),
		make(Findings, 1, 7*day),
	}
}

// Status is one topic as the cluster has it.
type Status struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"` // 0 when missing
	Problem    string `json:"problem,omitempty"`
}

// Migrate creates the topics that are missing and returns how all of them
// stand. It changes nothing that exists: a different partition count is
// reported, because growing it would send a delegation to another partition.
func Migrate(ctx context.Context, client *kafka.Client, l Layout) ([]Status, error) {
	if l.Partitions < 1 || l.Replication < 1 {
		return nil, fmt.Errorf("topic layout: partitions %d and replication %d must be at least 1", l.Partitions, l.Replication)
	}
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: l.topics()})
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", err)
	}
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return nil, fmt.Errorf("create topic %q: %w", name, err)
		}
	}
	return await(ctx, client, l)
}

// await asks until every partition has a leader: a produce right after the
// creation would fail otherwise.
func await(ctx context.Context, client *kafka.Client, l Layout) ([]Status, error) {
	for {
		status, err := Check(ctx, client, l)
		if err != nil {
			return nil, err
		}
		ready := true
		for _, s := range status {
			ready = ready && s.Partitions > 0
		}
		if ready {
			return status, nil
		}
		select {
		case <-ctx.Done():
			return status, fmt.Errorf("wait for topic leaders: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Check returns how the topics stand without changing anything.
func Check(ctx context.Context, client *kafka.Client, l Layout) ([]Status, error) {
	want := l.topics()
	names := make([]string, len(want))
	for i, t := range want {
		names[i] = t.Topic
	}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return nil, fmt.Errorf("ask for topics: %w", err)
	}
	found := map[string]kafka.Topic{}
	for _, t := range meta.Topics {
		found[t.Name] = t
	}
	status := make([]Status, len(want))
	for i, w := range want {
		status[i] = compare(w, found[w.Topic])
	}
	return status, nil
}

func compare(want kafka.TopicConfig, got kafka.Topic) Status {
	s := Status{Topic: want.Topic}
	if got.Error != nil || len(got.Partitions) == 0 {
		s.Problem = "missing: run \"custody schema migrate\""
		return s
	}
	for _, p := range got.Partitions {
		if p.Error != nil || p.Leader.Host == "" {
			s.Problem = fmt.Sprintf("partition %d has no leader", p.ID)
			return s
		}
	}
	s.Partitions = len(got.Partitions)
	if s.Partitions != want.NumPartitions {
		s.Problem = fmt.Sprintf("has %d partitions, configured are %d; see docs/adr/0004-kafka-key.md before changing either", s.Partitions, want.NumPartitions)
	}
	return s
}
