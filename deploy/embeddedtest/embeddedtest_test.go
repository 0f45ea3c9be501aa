package embeddedtest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/schemas/topic"
)

// Both servers come back with their data after a kill.
func TestKill(t *testing.T) {
	s := Start(t)
	writer := &kafka.Writer{Addr: kafka.TCP(s.Kafka.Addr), Topic: s.Kafka.Topic(topic.Findings), RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer writer.Close()
	publish := func(value string) {
		t.Helper()
		if err := writer.WriteMessages(t.Context(), kafka.Message{Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	publish("before")
	s.Kafka.Kill()
	publish("after")
	res, err := s.Kafka.Client().ListOffsets(t.Context(), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{s.Kafka.Topic(topic.Findings): {kafka.LastOffsetOf(0)}}})
	if err != nil {
		t.Fatal(err)
	}
	if p := res.Topics[s.Kafka.Topic(topic.Findings)]; len(p) != 1 || p[0].LastOffset != 2 {
		t.Errorf("the log after a kill: %+v, want two records", p)
	}

	admin := s.ClickHouse.Conn(embedded.Admin)
	migrations := func(ctx context.Context) (n uint64, err error) {
		return n, admin.QueryRow(ctx, "SELECT count() FROM migrations").Scan(&n)
	}
	want, err := migrations(t.Context())
	if err != nil || want == 0 {
		t.Fatalf("%d migrations, %v", want, err)
	}
	old := s.ClickHouse.PID()
	s.ClickHouse.Kill()
	Eventually(t, 2*time.Minute, "the engine answers after a kill", func(ctx context.Context) error {
		got, err := migrations(ctx)
		if err == nil && got != want {
			t.Fatalf("after a kill: %d migrations, want %d", got, want)
		}
		return err
	})
	if now := s.ClickHouse.PID(); now == old || now == 0 {
		t.Errorf("the engine is process %d, killed was %d", now, old)
	}
}

// Two tests on one broker do not see each other's topics.
func TestTopicsAreApart(t *testing.T) {
	a, b := StartKafka(t, 1), StartKafka(t, 1)
	if a.Topic(topic.Events) == b.Topic(topic.Events) || a.Group() == b.Group() {
		t.Errorf("%s and %s, %s and %s: the same", a.Topic(topic.Events), b.Topic(topic.Events), a.Group(), b.Group())
	}
}

// verdict is a test that remembers how it ended.
type verdict struct {
	testing.TB
	failed, skipped string
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Skip(args ...any) { v.skipped = fmt.Sprint(args...); runtime.Goexit() }

func (v *verdict) Skipf(format string, args ...any) { v.Skip(fmt.Sprintf(format, args...)) }

func (v *verdict) SkipNow() { v.Skip("now") }

// A server that is missing is a failure that says so.
func TestMissingServer(t *testing.T) {
	try := func(start func(testing.TB)) *verdict {
		v, done := &verdict{TB: t}, make(chan struct{})
		go func() {
			defer close(done)
			start(v)
		}()
		<-done
		return v
	}
	t.Setenv("CUSTODY_ENGINE", "/nonexistent/clickhouse")
	v := try(func(t testing.TB) { StartClickHouse(t) })
	if v.skipped != "" || !strings.Contains(v.failed, "/nonexistent/clickhouse") {
		t.Errorf("without an engine: failed %q, skipped %q", v.failed, v.skipped)
	}
	t.Setenv("CUSTODY_TEST_KAFKA", "127.0.0.1:1")
	t.Setenv("CUSTODY_TEST_KAFKA_PID_FILE", "")
	v = try(func(t testing.TB) { StartKafka(t, 1) })
	if v.skipped != "" || !strings.Contains(v.failed, "127.0.0.1:1") {
		t.Errorf("without a broker: failed %q, skipped %q", v.failed, v.skipped)
	}
}
