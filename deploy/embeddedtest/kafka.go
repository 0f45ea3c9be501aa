package embeddedtest

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/topic"
)

// Kafka is a broker with the topics of one test.
type Kafka struct {
	// Addr is the bootstrap address, host:port. It survives Kill.
	Addr string
	// Prefix is before the name of every topic and group of this test.
	Prefix string

	server server
	t      testing.TB
}

// server is a broker that can be killed: one of ours, or Apache Kafka.
type server interface {
	// kill ends the broker at once and returns when it is being started again on
	// the same address and data.
	kill() error
}

// StartKafka starts a broker, or takes that of CUSTODY_TEST_KAFKA, and creates
// the topics with this many partitions of custody.events.
func StartKafka(t testing.TB, partitions int) *Kafka {
	t.Helper()
	k := &Kafka{Addr: os.Getenv("CUSTODY_TEST_KAFKA"), Prefix: "t" + strings.ReplaceAll(uuid.NewString(), "-", "") + ".", t: t}
	var err error
	if k.Addr != "" {
		k.server, err = takeApache(t)
	} else {
		k.server, k.Addr, err = startChild(t)
	}
	if err != nil {
		t.Fatalf("start the broker: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := topic.Migrate(ctx, k.Client(), topic.Layout{Prefix: k.Prefix, Partitions: partitions, Replication: 1}); err != nil {
		t.Fatalf("create the topics at %s: %v", k.Addr, err)
	}
	return k
}

// Topic returns a topic's name in this test.
func (k *Kafka) Topic(name string) string { return topic.Name(k.Prefix, name) }

// Group returns the name of the processor's consumer group in this test.
func (k *Kafka) Group() string { return k.Prefix + "processor" }

// Apache tells whether the broker is a real Apache Kafka.
func (k *Kafka) Apache() bool { _, ok := k.server.(*apache); return ok }

// Client returns a client that shares its connections with nobody.
func (k *Kafka) Client() *kafka.Client {
	transport := &kafka.Transport{ClientID: "custody-test"}
	k.t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(k.Addr), Transport: transport}
}

// Kill ends the broker with kill -9; it is started again on the same address and
// data. It returns when the broker answers.
func (k *Kafka) Kill() {
	k.t.Helper()
	if err := k.server.kill(); err != nil {
		k.t.Fatalf("kill the broker: %v", err)
	}
	client := k.Client()
	Eventually(k.t, time.Minute, "the broker answers after a kill", func(ctx context.Context) error {
		_, err := topic.Check(ctx, client, topic.Layout{Prefix: k.Prefix, Partitions: 1, Replication: 1})
		return err
	})
}
