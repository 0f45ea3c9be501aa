package processor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// block is a run of contiguous records of one partition.
type block struct {
	epoch     string
	partition int
	start     int64
	records   []*table.Record
	messages  []kafka.Message // of the malformed ones, for the dead-letter topic
	bytes     int
}

func (b *block) end() int64 { return b.start + int64(len(b.records)) }

// root digests the leaf hashes in order. It depends on the log only, so whoever
// reads the block again gets the same.
func (b *block) root() string {
	h := sha256.New()
	for _, r := range b.records {
		h.Write(r.LeafHash[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// token names the block for ClickHouse's insert deduplication.
func (b *block) token() string {
	return fmt.Sprintf("%s-%d-%d-%d-%s", b.epoch, b.partition, b.start, b.end(), b.root())
}

// add appends the next record; it must be the one at end.
func (b *block) add(m *kafka.Message) {
	r := newRecord(m)
	r.Epoch = b.epoch
	if r.State == table.Malformed {
		b.messages = append(b.messages, *m)
	}
	b.records = append(b.records, r)
	b.bytes += len(m.Value)
}

// newRecord reads a Kafka message. It is lenient to fields of a newer version,
// and strict to everything that Validate checks.
func newRecord(m *kafka.Message) *table.Record {
	r := &table.Record{
		Position: table.Position{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset},
		LogTime:  m.Time, Raw: m.Value, State: table.Stored,
	}
	h := sha256.New()
	h.Write([]byte{0}) // RFC 6962 section 2.1: leaf prefix
	h.Write(m.Value)
	h.Sum(r.LeafHash[:0])
	e, _, err := event.DecodeLenient(m.Value)
	if err == nil {
		err = e.Validate()
	}
	if err != nil {
		r.State, r.Problem = table.Malformed, problemText(err)
		return r
	}
	r.Event, r.ContentHash = *e, e.ContentHash()
	return r
}

// problemText bounds what a bad record makes us write.
func problemText(err error) string {
	var p event.Problems
	if errors.As(err, &p) && len(p) > 5 {
		err = fmt.Errorf("%w; and %d more", p[:5], len(p)-5)
	}
	s := err.Error()
	return s[:min(len(s), 1000)]
}

// mark sets the state of records whose id is already stored, before the block
// or in it. first is what ClickHouse had before the block. The rule looks only
// at what comes earlier in the log.
func (b *block) mark(first map[string][32]byte) {
	for _, r := range b.records {
		if r.State == table.Malformed {
			continue
		}
		hash, seen := first[r.Event.ID]
		switch {
		case !seen:
			first[r.Event.ID] = r.ContentHash
		case hash == r.ContentHash:
			r.State = table.Duplicate
		default:
			r.State, r.Problem = table.Conflict, "id "+r.Event.ID+" is stored with other content"
		}
	}
}
