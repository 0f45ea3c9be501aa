package fetch_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/custody-audit/custody/deploy/workload"
	"github.com/custody-audit/custody/processor/fetch"
	"github.com/custody-audit/custody/schemas/topic"
)

// canned is a connection to a broker that gives the same answer to every
// request, and kafka-go's connection over it.
type canned struct {
	net.Conn
	answer []byte // with size and correlation id
	at     int
	conn   *protocol.Conn
}

func (c *canned) Write(b []byte) (int, error) {
	copy(c.answer[4:8], b[8:12]) // the correlation id
	c.at = 0
	return len(b), nil
}

func (c *canned) Read(b []byte) (int, error) {
	n := copy(b, c.answer[c.at:])
	c.at += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c *canned) RoundTrip(_ context.Context, _ net.Addr, req kafka.Request) (kafka.Response, error) {
	return c.conn.RoundTrip(req)
}

// full is a broker whose answers have batches of 500 events as the collector
// writes them.
func full(b testing.TB, compression protocol.Attributes) (c *canned, events int) {
	c = &canned{answer: make([]byte, 8)}
	var batches []byte
	w := workload.Workload{Seed: 1, Base: time.UnixMilli(1_790_000_000_000), Step: 50 * time.Microsecond}
	for ; events < 4000; events += 500 {
		var records []protocol.Record
		for _, e := range w.Batch(nil, uint64(events), uint64(events+500)) {
			m := topic.Message("", e, e.Canonical(), "")
			records = append(records, protocol.Record{Time: time.Now(), Key: protocol.NewBytes(m.Key), Value: protocol.NewBytes(m.Value), Headers: m.Headers})
		}
		var buf writer
		set := protocol.RecordSet{Version: 2, Attributes: compression, Records: protocol.NewRecordReader(records...)}
		if _, err := set.WriteTo(&buf); err != nil {
			b.Fatal(err)
		}
		binary.BigEndian.PutUint64(buf[4:], uint64(events))
		batches = append(batches, buf[4:]...)
	}
	p := append([]byte{}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // throttle, error, session
	p = append(binary.BigEndian.AppendUint32(p, 1), 0, 1, 't')
	p = append(p, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) // one partition, 0, no error
	p = append(p, make([]byte, 3*8+4+4)...)     // offsets, no aborted transaction, no replica
	p = append(binary.BigEndian.AppendUint32(p, uint32(len(batches))), batches...)
	c.answer = append(c.answer, p...)
	binary.BigEndian.PutUint32(c.answer, uint32(len(c.answer)-4))
	c.conn = protocol.NewConn(c, "test")
	c.conn.SetVersions(map[protocol.ApiKey]int16{protocol.Fetch: 11})
	return c, events
}

type writer []byte

func (w *writer) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }

// No record costs memory of its own: what is left is the request and its way.
func TestAllocations(t *testing.T) {
	for name, compression := range map[string]protocol.Attributes{"lz4": protocol.Lz4, "zstd": protocol.Zstd, "snappy": protocol.Snappy, "none": 0} {
		c, events := full(t, compression)
		r := fetch.Reader{Transport: c, Topic: "t", MaxBytes: 4 << 20}
		var chunk fetch.Chunk
		n := testing.AllocsPerRun(5, func() {
			if err := r.Read(t.Context(), &chunk, 0, 1<<62); err != nil || len(chunk.Records) != events {
				t.Fatal(len(chunk.Records), err)
			}
		})
		if n > 20 {
			t.Errorf("%s: %.0f allocations for %d records", name, n, events)
		}
	}
}

// BenchmarkRead is what it costs from a response's bytes to records in one
// buffer: here, and by kafka-go's client with one copy of each.
func BenchmarkRead(b *testing.B) {
	for name, compression := range map[string]protocol.Attributes{"lz4": protocol.Lz4, "zstd": protocol.Zstd, "none": 0} {
		c, events := full(b, compression)
		measure := func(name string, read func() (int, error)) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				begin := cpuTime(b)
				for b.Loop() {
					if n, err := read(); err != nil || n != events {
						b.Fatal(n, err)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N)/float64(events), "cpu-ns/event")
			})
		}
		r := fetch.Reader{Transport: c, Topic: "t", MaxBytes: 4 << 20}
		var chunk fetch.Chunk
		measure("codec="+name+"/by=fetch", func() (int, error) {
			err := r.Read(b.Context(), &chunk, 0, 1<<62)
			return len(chunk.Records), err
		})
		client := &kafka.Client{Addr: kafka.TCP("127.0.0.1:1"), Transport: c}
		var data []byte
		measure("codec="+name+"/by=kafka-go", func() (n int, err error) {
			n, data, err = copied(b.Context(), client, data[:0])
			return n, err
		})
	}
}

func copied(ctx context.Context, client *kafka.Client, data []byte) (int, []byte, error) {
	res, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: "t", MaxBytes: 4 << 20})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return 0, data, err
	}
	for n := 0; ; n++ {
		r, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return n, data, nil
		}
		if err != nil {
			return n, data, err
		}
		for _, b := range []kafka.Bytes{r.Key, r.Value} {
			from := len(data)
			data = append(data, make([]byte, b.Len())...)
			if _, err := io.ReadFull(b, data[from:]); err != nil {
				return n, data, err
			}
			b.Close()
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
