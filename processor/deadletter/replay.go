package deadletter

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/topic"
)

// Result counts what a replay did, or would do.
type Result struct {
	Read       int `json:"read"`       // letters looked at
	Unreadable int `json:"unreadable"` // of those meant: still no events to this version
	Replayed   int `json:"replayed"`   // records put back, or that would be
}

// Replay gives publish the records of the letters that match and that this
// version can read, with their own key, value and headers, and where they were. A
// nil publish only counts. It may be done again, and letters may be there twice:
// the same record has the same event id, and the processor marks it as a duplicate.
func (r *Reader) Replay(ctx context.Context, f Filter, publish func(context.Context, []kafka.Message) error) (Result, error) {
	var result Result
	var batch []kafka.Message
	size := 0
	flush := func() error {
		if publish != nil && len(batch) > 0 {
			if err := publish(ctx, batch); err != nil {
				return fmt.Errorf("replay stopped after %d records: %w", result.Replayed, err)
			}
		}
		result.Replayed += len(batch)
		batch, size = nil, 0
		return nil
	}
	read, err := r.Each(ctx, f, func(l *Letter) error {
		if l.Readable() != nil {
			result.Unreadable++
			return nil
		}
		batch, size = append(batch, message(l)), size+l.Size
		if len(batch) < maxBatch && size < maxBatchBytes {
			return nil
		}
		return flush()
	})
	result.Read = read
	if err != nil {
		return result, err
	}
	return result, flush()
}

// Bounds of what is published at once.
const (
	maxBatch      = 500
	maxBatchBytes = 4 << 20
)

func message(l *Letter) kafka.Message {
	headers := append(l.Headers[:len(l.Headers):len(l.Headers)], kafka.Header{Key: topic.HeaderReplayed, Value: []byte(l.Origin.String())})
	return kafka.Message{Key: l.Key, Value: l.Value, Headers: headers}
}
