package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/processor/fetch"
)

// fetchWait is how long Kafka may hold a fetch open.
const fetchWait = 250 * time.Millisecond

// errOutOfRange says that Kafka no longer has, or never had, an offset.
var errOutOfRange = errors.New("offset is outside the log")

// fetch fills c with records from offset on, none left out and none from limit
// on; it stays empty when there are none yet.
func (w *worker) fetch(ctx context.Context, c *fetch.Chunk, offset, limit int64) error {
	err := w.reader.Read(ctx, c, offset, limit)
	if errors.Is(err, kafka.OffsetOutOfRange) {
		err = errOutOfRange
	}
	if err != nil {
		return fmt.Errorf("fetch offset %d: %w", offset, err)
	}
	w.tel.lag(ctx, c.High-offset, w.attributes())
	return contiguous(c.Records, offset)
}

// contiguous checks that records begin at an offset and leave none out: a record
// that is not there has no row, and its tree no leaf.
func contiguous(records []fetch.Record, next int64) error {
	for i := range records {
		if got := records[i].Offset; got != next {
			return fmt.Errorf("kafka left out offsets %d to %d", next, got-1)
		}
		next++
	}
	return nil
}
