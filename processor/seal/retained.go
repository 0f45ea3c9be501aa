package seal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/schemas/table"
)

// StoredRetention is a retention record as ClickHouse has it.
type StoredRetention struct {
	*Retention
	// Problem says why it counts for nothing; nil: the log's key signed it, and its
	// leaves are those that it is about.
	Problem error
	// Done says that nothing is left of the records.
	Done bool
	Note []byte
}

// Retentions reads the retention records and their leaves, and verifies both. Those
// that known has are not read again.
func (s *Store) Retentions(ctx context.Context, ring *Keyring, known map[uuid.UUID]bool) ([]*StoredRetention, error) {
	out, byID, err := s.retentionNotes(ctx, ring, known)
	if err != nil || len(out) == 0 {
		return out, err
	}
	digests := map[uuid.UUID]*LeavesDigest{}
	ids := make([]string, 0, len(byID))
	for id := range byID {
		digests[id], ids = &LeavesDigest{}, append(ids, id.String())
	}
	p := clickhouse.Parameters{"records": table.Words(ids)}
	err = s.each(ctx, "retained leaves", "SELECT DISTINCT record, offset, leaf_hash FROM retained_leaves WHERE record IN {records:Array(UUID)} ORDER BY record, offset", p, func(rows driver.Rows) error {
		var id uuid.UUID
		var offset uint64
		var leaf string
		if err := rows.Scan(&id, &offset, &leaf); err != nil {
			return err
		}
		if r := byID[id]; r.Problem == nil {
			r.Problem = digests[id].Add(offset, Hash([]byte(leaf)))
		}
		return nil
	})
	for id, r := range byID {
		if r.Problem == nil && !digests[id].Matches(r.Retention) {
			r.Problem = errors.New("its leaves are not those that were signed")
		}
	}
	return out, err
}

func (s *Store) retentionNotes(ctx context.Context, ring *Keyring, known map[uuid.UUID]bool) (out []*StoredRetention, byID map[uuid.UUID]*StoredRetention, err error) {
	byID = map[uuid.UUID]*StoredRetention{}
	err = s.each(ctx, "retention records", `SELECT id, topic, epoch, partition, base, first_offset, last_offset, tenant, note, deleted_time > 0 FROM retention_records FINAL ORDER BY time, id`, nil, func(rows driver.Rows) error {
		r := &StoredRetention{Retention: &Retention{}}
		var partition uint32
		var note string
		if err := rows.Scan(&r.ID, &r.Tree.Topic, &r.Tree.Epoch, &partition, &r.Tree.Base, &r.First, &r.Last, &r.Tenant, &note, &r.Done); err != nil {
			return err
		}
		if known[r.ID] {
			return nil
		}
		r.Tree.Partition, r.Note = int(partition), []byte(note)
		signed, err := ring.OpenRetention([]byte(note))
		switch {
		case err != nil:
			r.Problem = err
		case signed.ID != r.ID || signed.Tree != r.Tree || signed.Tenant != r.Tenant || byID[r.ID] != nil:
			r.Problem = errors.New("the signed record is another's")
		default:
			r.Retention, byID[r.ID] = signed, r
		}
		out = append(out, r)
		return nil
	})
	return out, byID, err
}

// PutRetention stores a retention record.
func (s *Store) PutRetention(ctx context.Context, r *Retention, signed []byte, event uuid.UUID, deleted time.Time) error {
	const columns = "tenant, id, topic, epoch, partition, base, first_offset, last_offset, count, kind, days, before, digest, time, event_id, note, deleted_time"
	return table.Insert(ctx, s.conn, "retention_records ("+columns+")", func(add func(...any) error) error {
		return add(r.Tenant, r.ID, r.Tree.Topic, r.Tree.Epoch, uint32(r.Tree.Partition), r.Tree.Base, r.First, r.Last, r.Count, r.Kind, r.Days, r.Before, string(r.Digest[:]), r.Time, event, string(signed), deleted)
	})
}

// Leaf is what is left of a record.
type Leaf struct {
	Offset uint64
	Hash   Hash
	ID     uuid.UUID // of the event that it was
}

// PutLeaves stores what is left of the records of a retention record.
func (s *Store) PutLeaves(ctx context.Context, r *Retention, leaves []Leaf) error {
	return table.Insert(ctx, s.conn, "retained_leaves (tenant, topic, epoch, partition, offset, leaf_hash, id, record)", func(add func(...any) error) error {
		for i := range leaves {
			l := &leaves[i]
			if err := add(r.Tenant, r.Tree.Topic, r.Tree.Epoch, uint32(r.Tree.Partition), l.Offset, string(l.Hash[:]), l.ID, r.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) each(ctx context.Context, what, sql string, p clickhouse.Parameters, row func(driver.Rows) error) error {
	if err := table.Each(clickhouse.Context(ctx, clickhouse.WithParameters(p)), s.conn, sql, row); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
