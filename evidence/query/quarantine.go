package query

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/event"
)

// Evidence is a stored record: where it lies in the log, and its hashes in hex.
type Evidence struct {
	Stored      time.Time `json:"stored_time"`
	Source      string    `json:"source"`
	Epoch       string    `json:"epoch"`
	Partition   uint32    `json:"partition"`
	Offset      uint64    `json:"offset"`
	ContentHash string    `json:"content_hash"` // of what the source said
	LeafHash    string    `json:"leaf_hash"`    // of the record's bytes
	raw         string
}

// Quarantined is a record whose id was stored before with other content.
type Quarantined struct {
	Tenant string    `json:"tenant"`
	ID     uuid.UUID `json:"id"`
	Topic  string    `json:"topic"`
	Record Evidence  `json:"record"`
	// First is the record that came first; nil when it is another tenant's.
	First *Evidence `json:"first"`
	// Differences are what the two say differently; of single records only.
	Differences []Difference `json:"differences,omitempty"`
}

// Difference is a field with two values, as JSON; empty where one has none.
type Difference struct {
	Field string `json:"field"`
	First string `json:"first"`
	Then  string `json:"then"`
}

const quarantined = `SELECT tenant, id, topic, stored_time, source_id, epoch, partition, offset, content_hash, leaf_hash, %s,
	first_stored_time, first_source_id, first_epoch, first_partition, first_offset, first_content_hash, first_leaf_hash, %s FROM quarantine WHERE ` + tenant

// Quarantine lists the records in quarantine that were stored since a time, the
// newest first, up to limit.
func (r *Reader) Quarantine(ctx context.Context, since time.Time, limit int) ([]*Quarantined, error) {
	if limit < 1 || limit > MaxPage {
		return nil, fmt.Errorf("limit %d: want 1 to %d", limit, MaxPage)
	}
	return r.quarantine(ctx, fmt.Sprintf(quarantined, "''", "''")+
		" AND stored_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC') ORDER BY stored_time DESC, partition, offset DESC LIMIT {limit:UInt32}",
		parameters{"since": fmt.Sprint(max(since.UnixMicro(), 0)), "limit": fmt.Sprint(limit)})
}

// QuarantineOf returns the records in quarantine with an id, in the order in which
// they were stored, with what they say differently from the first.
func (r *Reader) QuarantineOf(ctx context.Context, id string) ([]*Quarantined, error) {
	if _, err := event.IDTime(id); err != nil {
		return nil, fmt.Errorf("id %w", err)
	}
	list, err := r.quarantine(ctx, fmt.Sprintf(quarantined, "raw", "first_raw")+" AND id = toUUID({id:String}) ORDER BY stored_time, partition, offset LIMIT 1000", parameters{"id": id})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("no record with id %s in quarantine: %w", id, ErrNotFound)
	}
	for _, q := range list {
		if q.First != nil {
			q.Differences = differences(q.First.raw, q.Record.raw)
		}
	}
	return list, err
}

func (r *Reader) quarantine(ctx context.Context, sql string, p parameters) ([]*Quarantined, error) {
	out := []*Quarantined{}
	err := r.rows(ctx, sql, p, func(rows driver.Rows) error {
		q, first := &Quarantined{}, Evidence{}
		err := rows.Scan(&q.Tenant, &q.ID, &q.Topic, &q.Record.Stored, &q.Record.Source, &q.Record.Epoch, &q.Record.Partition, &q.Record.Offset, &q.Record.ContentHash, &q.Record.LeafHash, &q.Record.raw,
			&first.Stored, &first.Source, &first.Epoch, &first.Partition, &first.Offset, &first.ContentHash, &first.LeafHash, &first.raw)
		if first.ContentHash != "" {
			q.First = &first
		}
		out = append(out, q)
		return err
	})
	return out, err
}

// incidental differ between deliveries of the same content.
var incidental = []string{"observed_time", "salt"}

// differences compares two events field by field, by the path of each.
func differences(first, then string) []Difference {
	a, b := flatten(first), flatten(then)
	names := slices.Sorted(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []Difference
	for _, name := range names {
		if a[name] != b[name] && !slices.Contains(incidental, name) {
			out = append(out, Difference{name, a[name], b[name]})
		}
	}
	return out
}

// flatten returns the values of an event that are no objects, by their path.
func flatten(raw string) map[string]string {
	out := map[string]string{}
	var add func(path []string, value json.RawMessage)
	add = func(path []string, value json.RawMessage) {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil || object == nil {
			out[strings.Join(path, ".")] = string(value)
			return
		}
		for name, inner := range object {
			add(append(path[:len(path):len(path)], name), inner)
		}
	}
	add(nil, json.RawMessage(raw))
	return out
}
