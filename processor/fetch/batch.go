package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/segmentio/kafka-go/compress"
)

// batch is a record batch of format 2 (KIP-98).
type batch struct {
	base        int64 // offset that the records' are counted from
	last        int64 // offset of the last
	compression compress.Compression
	first       int64 // time in ms that the records' are counted from
	appended    int64 // when Kafka wrote it; -1 where the producer's times count
	records     int32
	payload     []byte // the records, compressed
}

// Where the fields of a batch are, in bytes from its start.
const (
	posLength     = 8 // of what follows it
	posMagic      = 16
	posCRC        = 17 // of all that follows it
	posAttributes = 21
	posLastDelta  = 23
	posFirstTime  = 27
	posMaxTime    = 35
	posRecords    = 57
	headerSize    = 61
)

// Bits of the attributes.
const (
	compressionMask = 7
	logAppendTime   = 8
)

// errCut says that the rest is the beginning of a batch: Kafka cuts where the
// bound of a response is.
var errCut = errors.New("the batch is cut")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parseBatch reads the first batch and returns what follows it. The CRC is left
// to check.
func parseBatch(raw []byte) (b batch, rest []byte, err error) {
	if len(raw) <= posMagic {
		return b, nil, errCut
	}
	if magic := raw[posMagic]; magic != 2 {
		return b, nil, fmt.Errorf("record format %d is not read: want 2, of Kafka 0.11 and newer", magic)
	}
	end := posLength + 4 + int64(int32(binary.BigEndian.Uint32(raw[posLength:])))
	if end < headerSize {
		return b, nil, fmt.Errorf("a batch of %d bytes is none", end)
	}
	if end > int64(len(raw)) {
		return b, nil, errCut
	}
	attributes := binary.BigEndian.Uint16(raw[posAttributes:])
	b = batch{
		base:        int64(binary.BigEndian.Uint64(raw)),
		compression: compress.Compression(attributes & compressionMask),
		first:       int64(binary.BigEndian.Uint64(raw[posFirstTime:])), appended: -1,
		records: int32(binary.BigEndian.Uint32(raw[posRecords:])), payload: raw[headerSize:end],
	}
	b.last = b.base + int64(int32(binary.BigEndian.Uint32(raw[posLastDelta:])))
	if attributes&logAppendTime != 0 {
		b.appended = int64(binary.BigEndian.Uint64(raw[posMaxTime:]))
	}
	return b, raw[end:], nil
}

func checkCRC(raw []byte) error {
	want, got := binary.BigEndian.Uint32(raw[posCRC:]), crc32.Checksum(raw[posAttributes:], castagnoli)
	if want != got {
		return fmt.Errorf("its CRC is %08x, it says %08x", got, want)
	}
	return nil
}

// decode adds the records from offset on and before limit. An error after the
// first is left to the next read, which begins there.
func (c *Chunk) decode(raw []byte, offset, limit int64) error {
	for len(raw) > 0 && offset < limit && len(c.data) < c.room {
		b, rest, err := parseBatch(raw)
		if errors.Is(err, errCut) {
			return nil
		}
		if err == nil && b.last >= offset {
			if err = checkCRC(raw[:len(raw)-len(rest)]); err == nil {
				err = c.add(&b, offset, limit)
			}
		}
		if err != nil {
			if len(c.Records) > 0 {
				return nil
			}
			return fmt.Errorf("read the batch of offset %d: %w", b.base, err)
		}
		raw = rest
	}
	return nil
}

// add decompresses a batch and adds its records.
func (c *Chunk) add(b *batch, offset, limit int64) error {
	at := len(c.data)
	data, err := decompress(c.data, b.payload, b.compression)
	if err != nil {
		return fmt.Errorf("decompress %s: %w", b.compression, err)
	}
	c.data = data
	for i := range b.records {
		n, width := binary.Varint(data[at:])
		if at += width; width <= 0 || n < 0 || n > int64(len(data)-at) {
			return fmt.Errorf("record %d of %d is cut", i, b.records)
		}
		end := at + int(n)
		r, ok := b.record(data[:end], at)
		if !ok {
			return fmt.Errorf("record %d of %d is not readable", i, b.records)
		}
		if at = end; r.Offset >= limit {
			return nil
		}
		if r.Offset >= offset { // a batch begins before the offset asked for
			c.Records = append(c.Records, r)
		}
	}
	return nil
}

// record reads the record at data[at:], and writes the leaf's prefix before its value.
func (b *batch) record(data []byte, at int) (r Record, ok bool) {
	d := varints{rest: data[at:]}
	here := func() int32 { return int32(len(data) - len(d.rest)) }
	if len(d.rest) == 0 {
		return r, false
	}
	d.rest = d.rest[1:] // attributes: none are defined
	delta, offset := d.varint(), d.varint()
	if r.Offset, r.millis = b.base+offset, b.first+delta; b.appended >= 0 {
		r.millis = b.appended
	}
	key := d.bytes()
	r.key.to = here()
	r.key.from = r.key.to - int32(len(key))
	value := d.bytes()
	r.value.to = here()
	r.value.from = r.value.to - int32(len(value))
	if d.short || offset < 0 {
		return r, false
	}
	data[r.value.from-1] = leafPrefix // the end of the value's length
	r.headers = span{r.value.to, int32(len(data))}
	return r, true
}
