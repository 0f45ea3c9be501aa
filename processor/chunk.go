package processor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
)

// fetchWait is how long Kafka may hold a fetch open.
const fetchWait = 250 * time.Millisecond

// chunk is what one fetch gave: records without a gap, their bytes one after the
// other. It is reused, so that records cost no memory of their own.
type chunk struct {
	data    []byte
	records []logRecord
	high    int64 // the log's end when it was fetched
}

// logRecord is a record of the log; key and value are in the chunk's data.
type logRecord struct {
	offset     int64
	time       time.Time
	key, value span
	headers    []kafka.Header
}

type span struct{ from, to int }

func (c *chunk) reset() {
	c.data = c.data[:0]
	clear(c.records) // headers
	c.records = c.records[:0]
}

// end is the offset after the chunk's last record.
func (c *chunk) end() int64 { return c.records[len(c.records)-1].offset + 1 }

// leafPrefix stands before each value: the leaf of RFC 6962 section 2.1 is
// hashed from where it lies.
const leafPrefix = 0

func (c *chunk) add(r *kafka.Record) (err error) {
	lr := logRecord{offset: r.Offset, time: r.Time, headers: r.Headers}
	if lr.key, err = c.read(r.Key); err != nil {
		return fmt.Errorf("read key at offset %d: %w", r.Offset, err)
	}
	c.data = append(c.data, leafPrefix)
	if lr.value, err = c.read(r.Value); err != nil {
		return fmt.Errorf("read value at offset %d: %w", r.Offset, err)
	}
	c.records = append(c.records, lr)
	return nil
}

func (c *chunk) read(b kafka.Bytes) (span, error) {
	from := len(c.data)
	if b == nil {
		return span{from, from}, nil
	}
	defer b.Close()
	n := b.Len()
	c.data = append(c.data, make([]byte, n)...) // the compiler makes no slice of it
	_, err := io.ReadFull(b, c.data[from:])
	return span{from, from + n}, err
}

func (c *chunk) key(r *logRecord) []byte   { return c.data[r.key.from:r.key.to:r.key.to] }
func (c *chunk) value(r *logRecord) []byte { return c.data[r.value.from:r.value.to:r.value.to] }
func (c *chunk) leaf(r *logRecord) []byte  { return c.data[r.value.from-1 : r.value.to] }

// message is the record as it came, in memory of its own.
func (c *chunk) message(topic string, partition int, r *logRecord) kafka.Message {
	return kafka.Message{Topic: topic, Partition: partition, Offset: r.offset, Time: r.time, Headers: r.headers,
		Key: append([]byte(nil), c.key(r)...), Value: append([]byte(nil), c.value(r)...)}
}

// errOutOfRange says that Kafka no longer has, or never had, an offset.
var errOutOfRange = errors.New("offset is outside the log")

// fetch fills c with records from offset on, none left out and none from limit
// on; it stays empty when there are none yet.
func (w *worker) fetch(ctx context.Context, c *chunk, offset, limit int64) error {
	c.reset()
	ctx, cancel := context.WithTimeout(ctx, fetchWait+10*time.Second)
	defer cancel()
	res, err := w.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: w.cfg.Topic, Partition: w.partition, Offset: offset,
		MinBytes: 1, MaxBytes: int64(w.fetchBytes), MaxWait: fetchWait,
	})
	if err != nil {
		return fmt.Errorf("fetch offset %d: %w", offset, err)
	}
	if errors.Is(res.Error, kafka.OffsetOutOfRange) {
		return fmt.Errorf("fetch offset %d: %w", offset, errOutOfRange)
	}
	if res.Error != nil {
		return fmt.Errorf("fetch offset %d: %w", offset, res.Error)
	}
	c.high = res.HighWatermark
	w.tel.lag(ctx, c.high-offset, w.attributes())
	return c.take(res.Records, offset, limit)
}

func (c *chunk) take(records kafka.RecordReader, next, limit int64) error {
	for next < limit {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last batch may be cut
			return nil
		}
		if err != nil {
			return fmt.Errorf("read records at offset %d: %w", next, err)
		}
		if r.Offset < next {
			continue // a batch begins before the offset asked for
		}
		if r.Offset > next {
			return fmt.Errorf("kafka left out offsets %d to %d", next, r.Offset-1)
		}
		if err := c.add(r); err != nil {
			return err
		}
		next++
	}
	return nil
}
