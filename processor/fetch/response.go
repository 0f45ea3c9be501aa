package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// response is what Kafka says of the one partition that was asked for.
type response struct {
	throttle time.Duration // that Kafka waits before it answers again
	high     int64         // the log's end
	batches  []byte        // the last may be cut
}

var errShort = errors.New("the response ends too early")

// parseResponse reads a response without its size and correlation id.
func parseResponse(raw []byte, version int16, topic string, partition int) (response, error) {
	var p response
	d := decoder{rest: raw}
	p.throttle = time.Duration(d.int32()) * time.Millisecond
	if version >= 7 {
		code := d.int16()
		d.int32() // session
		if code != 0 {
			return p, kafka.Error(code)
		}
	}
	if d.int32() != 1 || d.string() != topic || d.int32() != 1 || int(d.int32()) != partition {
		return p, fmt.Errorf("kafka left out topic %s, partition %d", topic, partition)
	}
	code := d.int16()
	p.high = d.int64()
	d.int64() // last stable offset
	if version >= 5 {
		d.int64() // log start offset
	}
	if aborted := d.int32(); aborted > 0 {
		d.take(16 * int(aborted)) // producer id and first offset of each
	}
	if version >= 11 {
		d.int32() // preferred replica: we have no rack
	}
	if n := d.int32(); n > 0 {
		p.batches = d.take(int(n))
	}
	if code != 0 {
		return p, kafka.Error(code)
	}
	if d.short {
		return p, errShort
	}
	return p, nil
}

// decoder reads Kafka's primitive types. Beyond the end it gives zeros and says so.
type decoder struct {
	rest  []byte
	short bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.rest) {
		d.rest, d.short = nil, true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) int16() int16 {
	if b := d.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) string() string { return string(d.take(int(d.int16()))) }
