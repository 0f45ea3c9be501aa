// Package embeddedtest gives tests the real servers of the pipeline: a
// ClickHouse whose tables are there, and a broker that holds the topics.
//
// It stands beside deploy/embedded, whose servers it starts; only tests import
// it. Each test has its own. What is started ends with the test, also when the
// test's process is killed. A server that cannot be started fails the test and
// never skips it.
//
// With CUSTODY_TEST_KAFKA=host:port the broker is that one, a real Apache Kafka
// (see deploy/kafka): topics and groups then have a prefix of their own, so that
// tests do not meet.
package embeddedtest

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Servers are what the processor stands between.
type Servers struct {
	ClickHouse *ClickHouse
	Kafka      *Kafka
}

// Start starts both; custody.events has two partitions.
func Start(t testing.TB) *Servers {
	t.Helper()
	return &Servers{ClickHouse: StartClickHouse(t), Kafka: StartKafka(t, 2)}
}

// Open connects to a ClickHouse of the tests, by any address that leads to it.
func Open(addr, user, password, database string) (driver.Conn, error) {
	return clickhouse.Open(options(addr, user, password, database))
}

func options(addr, user, password, database string) *clickhouse.Options {
	return &clickhouse.Options{Addr: []string{addr}, Auth: clickhouse.Auth{Username: user, Password: password, Database: database}}
}

// Dialer returns what opens connections like Open's for inserting columns.
func Dialer(addr, user, password, database string) func(context.Context) (*ch.Client, error) {
	return func(ctx context.Context) (*ch.Client, error) {
		return ch.Dial(ctx, ch.Options{Address: addr, User: user, Password: password, Database: database})
	}
}

// Eventually asks until check returns nil, each time for at most 20 s, and fails
// the test with its last error when that takes longer than within.
func Eventually(t testing.TB, within time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		attempt, done := context.WithTimeout(ctx, 20*time.Second)
		err := check(attempt)
		done()
		if err == nil {
			return
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, within, last)
		case <-tick.C:
		}
	}
}
