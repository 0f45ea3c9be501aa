package fetch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	api "github.com/segmentio/kafka-go/protocol/fetch"
)

var began = time.UnixMilli(1_790_000_000_000).UTC()

// records returns messages of every form that a record can have.
func records(n int) []protocol.Record {
	out := make([]protocol.Record, n)
	for i := range out {
		r := protocol.Record{Time: began.Add(time.Duration(i) * time.Second), Value: protocol.NewBytes(bytes.Repeat([]byte(fmt.Sprintf(`{"n":%d}`, i)), 1+i%200))}
		switch i % 4 {
		case 1:
			r.Key, r.Headers = protocol.NewBytes([]byte(fmt.Sprint("key-", i))), []protocol.Header{{Key: "tenant", Value: []byte("acme")}, {Key: "", Value: nil}}
		case 2:
			r.Key, r.Value = protocol.NewBytes([]byte{}), nil
		case 3:
			r.Value, r.Headers = protocol.NewBytes([]byte{}), []protocol.Header{{Key: "traceparent", Value: bytes.Repeat([]byte("0"), 300)}}
		}
		out[i] = r
	}
	return out
}

// encode makes a batch whose first record has an offset.
func encode(t testing.TB, base int64, attributes protocol.Attributes, records ...protocol.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	set := protocol.RecordSet{Version: 2, Attributes: attributes, Records: protocol.NewRecordReader(records...)}
	if _, err := set.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()[4:] // its size
	binary.BigEndian.PutUint64(raw, uint64(base))
	return raw
}

// seal gives a batch that was altered its CRC.
func seal(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw[posCRC:], crc32.Checksum(raw[posAttributes:], castagnoli))
	return raw
}

// answer is what a broker sends for batches, without size and correlation id.
func answer(t testing.TB, version int16, code int16, batches ...[]byte) []byte {
	t.Helper()
	all := bytes.Join(batches, nil)
	res := &api.Response{ThrottleTimeMs: 7, Topics: []api.ResponseTopic{{Topic: "events", Partitions: []api.ResponsePartition{{
		Partition: 3, ErrorCode: code, HighWatermark: 1234, LastStableOffset: 1200, LogStartOffset: 5, PreferredReadReplica: -1,
		AbortedTransactions: []api.ResponseTransaction{{ProducerID: 1, FirstOffset: 2}},
		RecordSet:           protocol.RecordSet{Version: 2, Records: protocol.NewRecordReader(records(1)...)}, // it writes no empty one
	}}}}}
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, version, 1, res); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()[8:]
	raw = raw[:len(raw)-4-len(encode(t, 0, 0, records(1)...))]
	return append(binary.BigEndian.AppendUint32(raw, uint32(len(all))), all...)
}

// theirs is what kafka-go reads in a response.
func theirs(raw []byte, version int16) ([]kafka.Message, error) {
	framed := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(len(raw)+4)), 1), raw...)
	_, m, err := protocol.ReadResponse(bytes.NewBuffer(framed), protocol.Fetch, version)
	if err != nil {
		return nil, err
	}
	set := m.(*api.Response).Topics[0].Partitions[0].RecordSet
	if set.Records == nil {
		return nil, nil
	}
	var out []kafka.Message
	for {
		r, err := set.Records.ReadRecord()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		key, err := protocol.ReadAll(r.Key)
		if err != nil {
			return out, err
		}
		value, err := protocol.ReadAll(r.Value)
		if err != nil {
			return out, err
		}
		out = append(out, kafka.Message{Topic: "events", Partition: 3, Offset: r.Offset, Time: r.Time, Key: key, Value: value, Headers: r.Headers})
	}
}

// ours is what this package reads in it.
func ours(raw []byte, version int16, offset, limit int64) ([]kafka.Message, *Chunk, error) {
	c := &Chunk{room: 1 << 30}
	p, err := parseResponse(raw, version, "events", 3)
	if err != nil {
		return nil, c, err
	}
	c.High = p.high
	if err := c.decode(p.batches, offset, limit); err != nil {
		return nil, c, err
	}
	var out []kafka.Message
	for i := range c.Records {
		out = append(out, c.Message("events", 3, &c.Records[i]))
	}
	return out, c, nil
}

// same compares messages; nothing and empty are the same to both.
func same(a, b []kafka.Message) string {
	return cmp.Diff(a, b, cmp.Transformer("bytes", func(b []byte) string { return string(b) }),
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Headers" }, cmp.Comparer(func(a, b []kafka.Header) bool {
			return len(a) == len(b) && (len(a) == 0 || cmp.Equal(a, b, cmp.Comparer(bytes.Equal)))
		})), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }))
}

// What kafka-go makes of the same bytes is what this package makes of them, in
// every version and compression.
func TestAsKafkaGo(t *testing.T) {
	for version := int16(minVersion); version <= maxVersion; version++ {
		for compression := range protocol.Attributes(5) {
			t.Run(fmt.Sprintf("v%d/%d", version, compression), func(t *testing.T) {
				all := records(500)
				raw := answer(t, version, 0, encode(t, 100, compression, all[:1]...), encode(t, 101, compression, all[1:300]...),
					encode(t, 400, compression|protocol.Control, all[300:302]...), encode(t, 402, compression|protocol.Transactional, all[302:]...))
				want, err := theirs(raw, version)
				if err != nil || len(want) != 498 {
					t.Fatal(len(want), err)
				}
				got, c, err := ours(raw, version, 0, 1<<62)
				if err != nil {
					t.Fatal(err)
				}
				for i := range c.Records {
					if r := &c.Records[i]; !bytes.Equal(c.Leaf(r), append([]byte{0}, got[i].Value...)) {
						t.Fatalf("leaf of offset %d: %q", r.Offset, c.Leaf(r))
					}
				}
				markers := got[300:302:302]
				if markers[0].Offset != 400 || string(markers[1].Key) != "key-301" {
					t.Errorf("the markers of transactions, which kafka-go leaves out: %v", markers)
				}
				got = append(got[:300], got[302:]...)
				if diff := same(want, got); diff != "" {
					t.Errorf("-kafka-go +ours\n%s", diff)
				}
				if c.High != 1234 || c.End() != 600 {
					t.Errorf("high %d, end %d", c.High, c.End())
				}
			})
		}
	}
}

// A response is read from an offset within a batch, and to another.
func TestRange(t *testing.T) {
	all := records(40)
	raw := answer(t, 11, 0, encode(t, 0, protocol.Lz4, all[:10]...), encode(t, 10, protocol.Zstd, all[10:30]...), encode(t, 30, 0, all[30:]...))
	whole, _, err := ours(bytes.Clone(raw), 11, 0, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{0, 40}, {0, 0}, {3, 7}, {9, 11}, {10, 30}, {12, 35}, {39, 40}, {40, 50}, {50, 40}} {
		got, _, err := ours(bytes.Clone(raw), 11, r[0], r[1])
		if err != nil {
			t.Fatal(err)
		}
		from, to := min(r[0], 40), min(r[1], 40)
		if diff := same(whole[from:max(from, to)], append([]kafka.Message{}, got...)); diff != "" {
			t.Errorf("%v: %s", r, diff)
		}
	}
}

// Where the topic says so the broker's time counts, which kafka-go does not know.
func TestLogAppendTime(t *testing.T) {
	raw := encode(t, 7, protocol.Zstd, records(3)...)
	raw[posAttributes+1] |= logAppendTime
	at := began.Add(time.Hour)
	binary.BigEndian.PutUint64(raw[posMaxTime:], uint64(at.UnixMilli()))
	got, _, err := ours(answer(t, 11, 0, seal(raw)), 11, 7, 1<<62)
	if err != nil || len(got) != 3 {
		t.Fatal(len(got), err)
	}
	for _, m := range got {
		if !m.Time.Equal(at) {
			t.Errorf("offset %d: %s, want %s", m.Offset, m.Time, at)
		}
	}
}
