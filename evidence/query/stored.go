package query

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/event"
)

// Stored is an event with where it lies in the log and what says that it is as it was.
type Stored struct {
	Event *event.Event `json:"event"`
	Facts Facts        `json:"facts"`
	Raw   string       `json:"raw"` // the exact bytes of the log, which the seal is about

	Topic       string    `json:"topic"`
	Epoch       string    `json:"epoch"`
	Partition   uint32    `json:"partition"`
	Offset      uint64    `json:"offset"`
	LogTime     time.Time `json:"log_time"` // when the log took it
	StoredTime  time.Time `json:"stored_time"`
	ContentHash string    `json:"content_hash"` // of what the source said, in hex
	LeafHash    string    `json:"leaf_hash"`    // of the record's bytes, in hex

	// Seal is the first checkpoint over it; nil: it is younger than all of them.
	Seal *Sealed `json:"seal,omitempty"`
	// Discrepancies are what the reconciliation found at its place.
	Discrepancies []Discrepancy `json:"discrepancies,omitempty"`
}

// Sealed is a signed head of the tree that a record is in. What is here is for looking
// up; a proof bundle is what proves it.
type Sealed struct {
	Size       uint64    `json:"size"` // records under it
	Root       string    `json:"root"` // in hex
	Signatures uint32    `json:"signatures"`
	Time       time.Time `json:"time"` // when it was signed
}

// Discrepancy is a place where stored records differ from what was sealed.
type Discrepancy struct {
	Kind   string    `json:"kind"` // docs/auditor.md says what the kinds are
	Detail string    `json:"detail"`
	Found  time.Time `json:"found_time"`
}

// Stored returns one event with its place.
func (r *Reader) Stored(ctx context.Context, id string) (*Stored, error) {
	p, err := spanOf([]string{id})
	if err != nil {
		return nil, err
	}
	p["id"] = id
	var s *Stored
	for _, part := range []string{near, ""} { // as Events looks for them
		err = r.rows(ctx, "SELECT raw, topic, epoch, partition, offset, log_time, stored_time, lower(hex(content_hash)), lower(hex(leaf_hash)), "+factColumns+
			" FROM events WHERE "+tenant+" AND toStartOfHour(time) IN {hours:Array(DateTime('UTC'))} AND id = {id:UUID}"+part+" LIMIT 1", p,
			func(rows driver.Rows) error {
				s = &Stored{}
				err := rows.Scan(append([]any{&s.Raw, &s.Topic, &s.Epoch, &s.Partition, &s.Offset, &s.LogTime, &s.StoredTime, &s.ContentHash, &s.LeafHash}, s.Facts.fields()...)...)
				if err == nil {
					s.Event, _, err = event.DecodeLenient([]byte(s.Raw))
				}
				return err
			})
		if err != nil || s != nil {
			break
		}
	}
	if err == nil && s == nil {
		err = fmt.Errorf("event %s: %w", id, ErrNotFound)
	}
	if err == nil {
		err = r.seal(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// seal finds what is known of the place of a record.
func (r *Reader) seal(ctx context.Context, s *Stored) error {
	at := parameters{"topic": s.Topic, "epoch": s.Epoch, "partition": strconv.Itoa(int(s.Partition)), "offset": strconv.FormatUint(s.Offset, 10)}
	const place = " WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32}"
	err := r.rows(ctx, "SELECT size, lower(hex(root)), signatures, time FROM checkpoints FINAL"+place+
		" AND base <= {offset:UInt64} AND base + size > {offset:UInt64} ORDER BY size LIMIT 1", at, func(rows driver.Rows) error {
		s.Seal = &Sealed{}
		return rows.Scan(&s.Seal.Size, &s.Seal.Root, &s.Seal.Signatures, &s.Seal.Time)
	})
	if err != nil {
		return err
	}
	return r.rows(ctx, "SELECT kind, detail, found_time FROM seal_discrepancies FINAL"+place+" AND "+tenant+
		" AND first_offset <= {offset:UInt64} AND last_offset >= {offset:UInt64} ORDER BY found_time LIMIT 20", at, func(rows driver.Rows) error {
		var d Discrepancy
		if err := rows.Scan(&d.Kind, &d.Detail, &d.Found); err != nil {
			return err
		}
		s.Discrepancies = append(s.Discrepancies, d)
		return nil
	})
}
