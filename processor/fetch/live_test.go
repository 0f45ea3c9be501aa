package fetch_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/fetch"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/topic"
)

// log is a partition of a real broker and what was written to it.
type log struct {
	*testing.T
	fetch.Reader
	client *kafka.Client
	want   []kafka.Message
}

// newLog writes batches in every compression, some larger than what is fetched
// at a time.
func newLog(t *testing.T, k dial.Kafka, prefix string) *log {
	t.Helper()
	l := &log{T: t, client: k.Client("custody-test")}
	if _, err := topic.Migrate(t.Context(), l.client, topic.Layout{Prefix: prefix, Partitions: 2, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	l.Reader = fetch.Reader{Transport: l.client.Transport, Addr: l.client.Addr, ClientID: "custody-test", Topic: topic.Name(prefix, topic.Events), Partition: 1,
		MaxBytes: 64 << 10, Wait: 100 * time.Millisecond}
	embeddedtest.Eventually(t, time.Minute, "the partition has a leader", func(ctx context.Context) error { return l.Read(ctx, new(fetch.Chunk), 0, 1) })
	for i, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd, 0, kafka.Lz4, kafka.Zstd} {
		l.produce(codec, 1+i*37, 100<<(i%2*3))
	}
	return l
}

func (l *log) produce(codec kafka.Compression, n, size int) {
	l.Helper()
	records := make([]kafka.Record, n)
	for i := range records {
		value := make([]byte, size)
		rand.Read(value)
		m := kafka.Message{Partition: l.Partition, Offset: int64(len(l.want)), Key: fmt.Append(nil, "key-", i), Value: value, Headers: []kafka.Header{{Key: "n", Value: fmt.Append(nil, i)}}}
		l.want = append(l.want, m)
		records[i] = kafka.Record{Key: kafka.NewBytes(m.Key), Value: kafka.NewBytes(m.Value), Headers: m.Headers}
	}
	res, err := l.client.Produce(l.Context(), &kafka.ProduceRequest{Topic: l.Topic, Partition: l.Partition, RequiredAcks: kafka.RequireAll, Compression: codec, Records: kafka.NewRecordReader(records...)})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		l.Fatal(err)
	}
}

// check reads the whole log.
func (l *log) check() {
	l.Helper()
	var c fetch.Chunk
	reads, next := 0, 0
	for ; next < len(l.want); reads++ {
		if err := l.Read(l.Context(), &c, int64(next), 1<<62); err != nil {
			l.Fatal(err)
		}
		if c.High != int64(len(l.want)) {
			l.Errorf("the log's end is %d, want %d", c.High, len(l.want))
		}
		for i := range c.Records {
			got, want := c.Message(l.Topic, l.Partition, &c.Records[i]), l.want[next]
			if got.Offset != want.Offset || !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) || len(got.Headers) != 1 || !bytes.Equal(got.Headers[0].Value, want.Headers[0].Value) {
				l.Fatalf("offset %d is not what was written: %d, %q, %v", next, got.Offset, got.Key, got.Headers)
			}
			if age := time.Since(got.Time); age < -time.Minute || age > time.Hour {
				l.Fatalf("offset %d was written at %s", next, got.Time)
			}
			next++
		}
	}
	l.Logf("%d records in %d reads", next, reads)
	if err := l.Read(l.Context(), &c, int64(next), 1<<62); err != nil || len(c.Records) != 0 || c.High != int64(next) {
		l.Errorf("at the end: %d records, end %d, %v", len(c.Records), c.High, err)
	}
}

// A log is read from a real broker, and on after what went wrong.
func TestLog(t *testing.T) {
	k := embeddedtest.StartKafka(t, 2)
	l := newLog(t, dial.Kafka{Brokers: []string{k.Addr}}, k.Prefix)
	l.check()

	var c fetch.Chunk
	if err := l.Read(t.Context(), &c, 1<<40, 1<<62); !errors.Is(err, kafka.OffsetOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
	other := l.Reader
	other.Partition = 7
	if err := other.Read(t.Context(), &c, 0, 1<<62); err == nil {
		t.Error("a partition that is not there is read")
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.Wait = 5 * time.Second
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	if err := l.Read(ctx, &c, int64(len(l.want)), 1<<62); !errors.Is(err, context.Canceled) || time.Since(began) > 4*time.Second {
		t.Errorf("cancelled: %v after %s", err, time.Since(began))
	}
	l.Wait = 100 * time.Millisecond
	l.produce(kafka.Lz4, 10, 10) // what the read that was given up now gets, into memory that is its own
	l.check()

	k.Kill()
	embeddedtest.Eventually(t, time.Minute, "the log is read from the broker that was killed", func(ctx context.Context) error {
		return l.Read(ctx, &c, 0, 1<<62)
	})
	l.check()
}

// The same over TLS, with SASL and with a certificate.
func TestSecureLog(t *testing.T) {
	k := embeddedtest.StartSecureKafka(t)
	for name, how := range map[string]dial.Kafka{"sasl": k.SASL, "mutual": k.Mutual} {
		t.Run(name, func(t *testing.T) { newLog(t, how, k.Prefix+name+".").check() })
	}
}

// A broker that stops in the middle of a response does not hold the reader
// beyond its deadline.
func TestSilence(t *testing.T) {
	k := embeddedtest.StartKafka(t, 2)
	l := newLog(t, dial.Kafka{Brokers: []string{k.Addr}}, k.Prefix)
	hold := &holder{limit: 20_000}
	l.Transport = &kafka.Transport{Dial: hold.dial}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var c fetch.Chunk
	began := time.Now()
	err := l.Read(ctx, &c, 0, 1<<62)
	if !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	if len(c.Records) != 0 {
		t.Errorf("%d records of a part of a response", len(c.Records))
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// holder opens connections on which nothing more comes after so many bytes.
type holder struct{ limit int }

func (h *holder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	return &held{Conn: c, left: h.limit}, err
}

type held struct {
	net.Conn
	left int
}

func (h *held) Read(b []byte) (int, error) {
	if h.left == 0 {
		b = make([]byte, 1<<20) // until the deadline
		for {
			if _, err := h.Conn.Read(b); err != nil {
				return 0, err
			}
		}
	}
	n, err := h.Conn.Read(b[:min(len(b), h.left)])
	h.left -= n
	return n, err
}
