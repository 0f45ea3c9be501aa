package fetch

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/segmentio/kafka-go/protocol"
)

// Whatever a broker answers, it is read within its bounds.
func FuzzResponse(f *testing.F) {
	for version := int16(minVersion); version <= maxVersion; version += 7 {
		for compression := range protocol.Attributes(5) {
			f.Add(answer(f, version, 0, encode(f, 3, compression, records(9)...), encode(f, 12, 0, records(3)...)), version, int64(5))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, version int16, offset int64) {
		c := Chunk{room: 1 << 20}
		p, err := parseResponse(raw, version, "events", 3)
		if err != nil || c.decode(p.batches, offset, math.MaxInt64) != nil {
			return
		}
		for i := range c.Records {
			if r := &c.Records[i]; r.Offset < offset || c.Leaf(r)[0] != leafPrefix || !bytes.Equal(c.Leaf(r)[1:], c.Value(r)) {
				t.Errorf("offset %d of %d: leaf %q, value %q", r.Offset, offset, c.Leaf(r), c.Value(r))
			}
			c.Message("events", 3, &c.Records[i])
		}
	})
}

// What both read in the records of a batch whose CRC is right is the same.
func FuzzRecords(f *testing.F) {
	for _, n := range []int{0, 1, 20} {
		raw := answer(f, 11, 0, encode(f, 0, 0, records(max(n, 1))...))
		p, err := parseResponse(raw, 11, "events", 3)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.batches[headerSize:], uint16(n), int64(100), began.UnixMilli())
	}
	f.Fuzz(func(t *testing.T, payload []byte, n uint16, base, first int64) {
		b := make([]byte, headerSize, headerSize+len(payload))
		b[posMagic] = 2
		binary.BigEndian.PutUint64(b, uint64(base))
		binary.BigEndian.PutUint32(b[posLastDelta:], math.MaxInt32)
		binary.BigEndian.PutUint64(b[posFirstTime:], uint64(first))
		binary.BigEndian.PutUint32(b[posRecords:], uint32(n))
		raw := answer(t, 11, 0, seal(shorten(append(b, payload...))))
		got, c, err := ours(bytes.Clone(raw), 11, math.MinInt64, math.MaxInt64)
		if err != nil || len(got) != int(n) || n == 0 || !whole(c) {
			return // what kafka-go makes of it is its own affair
		}
		want, err := theirs(raw, 11)
		if err != nil {
			t.Fatalf("kafka-go: %v", err)
		}
		if diff := same(want, got); diff != "" {
			t.Errorf("-kafka-go +ours\n%s", diff)
		}
	})
}

// whole tells that each record ends with its last header.
func whole(c *Chunk) bool {
	for i := range c.Records {
		d := varints{rest: c.bytes(c.Records[i].headers)}
		n := d.varint()
		if n < 0 || n > 1000 {
			return false
		}
		for range n {
			d.bytes()
			d.bytes()
		}
		if d.short || len(d.rest) > 0 {
			return false
		}
	}
	return true
}
