package fetch

import (
	"encoding/binary"
	"time"

	"github.com/segmentio/kafka-go"
)

// Chunk is what one response gave. It is used again, so nothing of it may be
// kept beyond the next Read.
type Chunk struct {
	Records []Record
	High    int64 // the log's end when it was read

	data []byte // of all batches, decompressed
	room int    // beyond which no further batch is decompressed
}

// Record is a record of the log; its bytes are in the chunk.
type Record struct {
	Offset     int64
	millis     int64
	key, value span
	headers    span // count and headers
}

type span struct{ from, to int32 }

// decodedPerByte bounds what a response grows to: where events compress better,
// the rest of the response is asked for once more.
const decodedPerByte = 16

func (c *Chunk) reset(room int) {
	c.Records, c.High, c.room = c.Records[:0], 0, room
	if c.data = c.data[:0]; cap(c.data) > 2*room {
		c.data = nil
	}
}

// End is the offset after the chunk's last record; there must be one.
func (c *Chunk) End() int64 { return c.Records[len(c.Records)-1].Offset + 1 }

// Bytes is about the memory that the chunk's records take.
func (c *Chunk) Bytes() int { return len(c.data) }

func (c *Chunk) bytes(s span) []byte { return c.data[s.from:s.to:s.to] }

// Key and Value are the record's; empty also where it has none.
func (c *Chunk) Key(r *Record) []byte   { return c.bytes(r.key) }
func (c *Chunk) Value(r *Record) []byte { return c.bytes(r.value) }

// leafPrefix stands before each value, where its length was: the leaf of RFC
// 6962 section 2.1 is hashed from where it lies.
const leafPrefix = 0

// Leaf is what the record's leaf of the tree is the hash of: a zero byte and the value.
func (c *Chunk) Leaf(r *Record) []byte { return c.bytes(span{r.value.from - 1, r.value.to}) }

// Time is when Kafka wrote the record where the topic says so, or else what the
// producer said; zero for none.
func (r *Record) Time() time.Time {
	if r.millis <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(r.millis)
}

// Message is the record in memory of its own.
func (c *Chunk) Message(topic string, partition int, r *Record) kafka.Message {
	return kafka.Message{Topic: topic, Partition: partition, Offset: r.Offset, Time: r.Time(), Headers: c.headersOf(r),
		Key: append([]byte(nil), c.Key(r)...), Value: append([]byte(nil), c.Value(r)...)}
}

// headersOf returns copies of the headers, up to the first that cannot be read.
func (c *Chunk) headersOf(r *Record) []kafka.Header {
	d := varints{rest: c.bytes(r.headers)}
	var headers []kafka.Header
	for n := d.varint(); n > 0; n-- {
		key, value := string(d.bytes()), append([]byte(nil), d.bytes()...)
		if d.short {
			break
		}
		headers = append(headers, kafka.Header{Key: key, Value: value})
	}
	return headers
}

// varints reads what a record consists of. Beyond the end it gives zeros and says so.
type varints struct {
	rest  []byte
	short bool
}

func (d *varints) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.rest, d.short = nil, true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// bytes reads a length and as many bytes; a negative length is none.
func (d *varints) bytes() []byte {
	n := d.varint()
	if n > int64(len(d.rest)) {
		d.rest, d.short = nil, true
		return nil
	}
	n = max(n, 0)
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}
