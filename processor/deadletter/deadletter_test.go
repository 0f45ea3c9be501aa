package deadletter_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/deadletter"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/topic"
)

// bench is a dead-letter topic that a test writes to as a processor does.
type bench struct {
	*testing.T
	*deadletter.Reader
	kafka  *embeddedtest.Kafka
	writer *kafka.Writer
	offset int64 // of the next record in custody.events
}

func newBench(t *testing.T) *bench {
	t.Helper()
	k := embeddedtest.StartKafka(t, 1)
	client := k.Client()
	w := &kafka.Writer{Addr: client.Addr, Topic: k.Topic(topic.DeadLetter), RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, BatchBytes: 1 << 20, Transport: client.Transport}
	t.Cleanup(func() { w.Close() })
	return &bench{T: t, Reader: deadletter.New(client, w.Topic), kafka: k, writer: w}
}

// bury writes the letter of a record.
func (b *bench) bury(tenant, source, reason string, value []byte) {
	b.Helper()
	m := kafka.Message{Topic: "custody.events", Partition: 2, Offset: b.offset, Key: []byte(tenant + "/k"), Value: value,
		Headers: []kafka.Header{{Key: topic.HeaderTenant, Value: []byte(tenant)}, {Key: topic.HeaderSource, Value: []byte(source)}}}
	b.offset++
	if err := b.writer.WriteMessages(b.Context(), topic.DeadLetterMessage("", &m, reason)); err != nil {
		b.Fatal(err)
	}
}

// found lists the positions that match.
func (b *bench) found(f deadletter.Filter) (positions []string, read int) {
	b.Helper()
	read, err := b.Each(b.Context(), f, func(l *deadletter.Letter) error {
		positions = append(positions, l.Position.String())
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return positions, read
}

func TestEach(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got, read := b.found(deadletter.Filter{}); len(got) != 0 || read != 0 {
		t.Errorf("of an empty topic: %v, read %d", got, read)
	}
	b.bury("acme", "acme-sts", "not JSON at byte 0", []byte("x"))
	b.bury("acme", "acme-opa", "schema_version: want 1.x", []byte("{}"))
	time.Sleep(20 * time.Millisecond) // so that the two halves have a time between them
	middle := time.Now()
	time.Sleep(20 * time.Millisecond)
	b.bury("globex", "globex-sts", "schema_version: want 1.x", []byte("\x00\xff"))
	if err := b.writer.WriteMessages(t.Context(), kafka.Message{Key: []byte("k"), Value: []byte("a letter of somebody else")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		filter deadletter.Filter
		want   []string
		read   int
	}{
		{"all", deadletter.Filter{}, []string{"0/0", "0/1", "0/2", "0/3"}, 4},
		{"a tenant", deadletter.Filter{Tenant: "acme"}, []string{"0/0", "0/1"}, 4},
		{"a source", deadletter.Filter{Source: "globex-sts"}, []string{"0/2"}, 4},
		{"a reason", deadletter.Filter{Reason: "schema_version"}, []string{"0/1", "0/2"}, 4},
		{"tenant and reason", deadletter.Filter{Tenant: "acme", Reason: "schema_version"}, []string{"0/1"}, 4},
		{"nobody's", deadletter.Filter{Reason: "not written by a processor"}, []string{"0/3"}, 4},
		{"since", deadletter.Filter{Since: middle}, []string{"0/2", "0/3"}, 2},
		{"until", deadletter.Filter{Until: middle}, []string{"0/0", "0/1"}, 4},
		{"since the future", deadletter.Filter{Since: time.Now().Add(time.Hour)}, nil, 0},
		{"positions", deadletter.Filter{At: []deadletter.Position{{Offset: 1}, {Offset: 3}, {Offset: 9}, {Partition: 7}}}, []string{"0/1", "0/3"}, 2},
	} {
		got, read := b.found(c.filter)
		if diff := cmp.Diff(c.want, got); diff != "" || read != c.read {
			t.Errorf("%s: read %d, want %d; (-want +got):\n%s", c.what, read, c.read, diff)
		}
	}
	l, err := b.At(t.Context(), deadletter.Position{Offset: 2})
	if err != nil {
		t.Fatal(err)
	}
	if l.Tenant != "globex" || l.Origin.String() != "custody.events/2/2" || l.Reason != "schema_version: want 1.x" || !bytes.Equal(l.Value, []byte("\x00\xff")) || string(l.Key) != "globex/k" ||
		len(l.Headers) != 2 || l.Size != 2 || time.Since(l.Time) > time.Minute {
		t.Errorf("letter %+v", l)
	}
	if _, err := b.At(t.Context(), deadletter.Position{Offset: 4}); err == nil || !strings.Contains(err.Error(), "0/4") {
		t.Errorf("a letter that is not there: %v", err)
	}
}

// Reading ends where the log ended when it began, though more comes, and goes on
// over as many fetches as it takes.
func TestEachIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	value := make([]byte, 250<<10)
	rand.Read(value) // so that it stays large in the log
	const letters = 40
	for range letters {
		b.bury("acme", "acme-sts", "reason", value)
	}
	visited := 0
	read, err := b.Each(t.Context(), deadletter.Filter{}, func(l *deadletter.Letter) error {
		if !bytes.Equal(l.Value, value) || l.Position.Offset != int64(visited) {
			return fmt.Errorf("letter %s is another", l.Position)
		}
		visited++
		b.bury("acme", "acme-sts", "reason", []byte("later"))
		return nil
	})
	if err != nil || read != letters || visited != letters {
		t.Errorf("read %d and visited %d of %d: %v", read, visited, letters, err)
	}
	stop := errors.New("enough")
	if _, err := b.Each(t.Context(), deadletter.Filter{}, func(*deadletter.Letter) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the visitor's error is lost: %v", err)
	}
}

// What can be read is given back as it was, with its position; what cannot, stays.
func TestReplay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := story.Named("deploy-call")
	b.bury("acme", "acme-sts", "from the future", e.Canonical())
	b.bury("acme", "acme-sts", "not JSON", []byte("no event"))
	b.bury("globex", "globex-sts", "from the future", story.Events()[0].Canonical())
	var got []kafka.Message
	publish := func(_ context.Context, batch []kafka.Message) error { got = append(got, batch...); return nil }
	result, err := b.Replay(t.Context(), deadletter.Filter{Tenant: "acme"}, nil)
	if want := (deadletter.Result{Read: 3, Unreadable: 1, Replayed: 1}); err != nil || result != want {
		t.Errorf("dry: %+v, %v", result, err)
	}
	if result, err = b.Replay(t.Context(), deadletter.Filter{Tenant: "acme"}, publish); err != nil || result.Replayed != 1 || len(got) != 1 {
		t.Fatalf("%+v, %v, %d messages", result, err, len(got))
	}
	want := kafka.Message{Key: []byte("acme/k"), Value: e.Canonical(), Headers: []kafka.Header{
		{Key: topic.HeaderTenant, Value: []byte("acme")}, {Key: topic.HeaderSource, Value: []byte("acme-sts")}, {Key: topic.HeaderReplayed, Value: []byte("custody.events/2/0")}}}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	away := errors.New("kafka is away")
	if result, err = b.Replay(t.Context(), deadletter.Filter{}, func(context.Context, []kafka.Message) error { return away }); !errors.Is(err, away) || result.Replayed != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestParsePosition(t *testing.T) {
	if p, err := deadletter.ParsePosition("3/41"); err != nil || p != (deadletter.Position{Partition: 3, Offset: 41}) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, text := range []string{"", "3", "3/", "/4", "-1/2", "1/-2", "1/2x", "1/2/3", "1/99999999999999999999"} {
		if p, err := deadletter.ParsePosition(text); err == nil {
			t.Errorf("%q: %+v", text, p)
		}
	}
}
