package query

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// SealedTree is how far one incarnation of a partition's log is sealed, as
// ClickHouse has it. Nothing is verified here: that is for who has the keys.
type SealedTree struct {
	Topic     string `json:"topic"`
	Partition uint32 `json:"partition"`
	Epoch     string `json:"epoch"`
	Base      uint64 `json:"base"` // offset of the first leaf
	// Size is the records under the newest checkpoint, Signed when it was signed.
	Size   uint64    `json:"size"`
	Signed time.Time `json:"signed"`
	Root   string    `json:"root"` // hexadecimal
	// Checkpoints is how many there are.
	Checkpoints uint64 `json:"checkpoints"`
	// Cosigned is the size of the newest checkpoint that others signed too, 0 for none.
	Cosigned     uint64     `json:"cosigned"`
	CosignedTime *time.Time `json:"cosigned_time,omitempty"`
	// Closed is why the tree ended; absent while it grows.
	Closed     string     `json:"closed,omitempty"`
	ClosedTime *time.Time `json:"closed_time,omitempty"`
	// LostFrom and LostTo are offsets that were never read after it, LostTo exclusive.
	LostFrom uint64 `json:"lost_from,omitempty"`
	LostTo   uint64 `json:"lost_to,omitempty"`

	// Note is the newest checkpoint, CosignedNote the newest with more signatures.
	Note         []byte `json:"-"`
	CosignedNote []byte `json:"-"`
}

// Trees returns the sealed trees, the newest incarnation of each partition first.
func (r *Reader) Trees(ctx context.Context) ([]*SealedTree, error) {
	var out []*SealedTree
	err := r.rows(ctx, `SELECT c.topic, c.partition, c.epoch, c.base, c.size, c.signed, c.root, c.checkpoints, c.cosigned, c.cosigned_time, c.note, c.cosigned_note,
			toString(g.reason), g.time, g.lost_from, g.lost_to
		FROM (
			SELECT topic, partition, epoch, base, max(k.size) AS size, argMax(k.time, (k.size, k.signatures)) AS signed, lower(hex(argMax(k.root, (k.size, k.signatures)))) AS root, uniqExact(k.size) AS checkpoints,
				maxIf(k.size, k.signatures > 1) AS cosigned, argMaxIf(k.time, k.size, k.signatures > 1) AS cosigned_time,
				argMax(k.note, (k.size, k.signatures)) AS note, argMaxIf(k.note, (k.size, k.signatures), k.signatures > 1) AS cosigned_note
			FROM checkpoints AS k GROUP BY topic, partition, epoch, base
		) AS c LEFT JOIN (SELECT topic, partition, epoch, base, argMax(reason, log_gaps.time) AS reason, max(log_gaps.time) AS time, argMax(lost_from, log_gaps.time) AS lost_from, argMax(lost_to, log_gaps.time) AS lost_to
			FROM log_gaps GROUP BY topic, partition, epoch, base) AS g
			ON g.topic = c.topic AND g.partition = c.partition AND g.epoch = c.epoch AND g.base = c.base
		ORDER BY c.topic, c.partition, c.signed DESC, c.base DESC`, nil, func(rows driver.Rows) error {
		t := &SealedTree{}
		var cosigned, closed time.Time
		var note, cosignedNote string
		err := rows.Scan(&t.Topic, &t.Partition, &t.Epoch, &t.Base, &t.Size, &t.Signed, &t.Root, &t.Checkpoints, &t.Cosigned, &cosigned, &note, &cosignedNote, &t.Closed, &closed, &t.LostFrom, &t.LostTo)
		t.Note, t.CosignedNote = []byte(note), []byte(cosignedNote)
		if t.Cosigned > 0 {
			t.CosignedTime = &cosigned
		}
		if t.Closed != "" {
			t.ClosedTime = &closed
		}
		out = append(out, t)
		return err
	})
	return out, err
}

// Reconciliation is one cycle that came to its end.
type Reconciliation struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Full: every record was read again; else what was new.
	Full    bool   `json:"full"`
	Trees   uint32 `json:"trees"`
	Records uint64 `json:"records"`
	// Discrepancies are the places where records were not as they were sealed.
	Discrepancies uint64 `json:"discrepancies"`
}

// Reconciliations returns the newest cycle of each kind, the newest first.
func (r *Reader) Reconciliations(ctx context.Context) ([]*Reconciliation, error) {
	var out []*Reconciliation
	err := r.rows(ctx, "SELECT began, ended, full, trees, records, discrepancies FROM reconciliations ORDER BY ended DESC LIMIT 1 BY full", nil, func(rows driver.Rows) error {
		c := &Reconciliation{}
		out = append(out, c)
		return rows.Scan(&c.Began, &c.Ended, &c.Full, &c.Trees, &c.Records, &c.Discrepancies)
	})
	return out, err
}

// SealDiscrepancy is one place where stored records were not as they were sealed.
type SealDiscrepancy struct {
	Tenant    string      `json:"tenant"`
	Topic     string      `json:"topic"`
	Partition uint32      `json:"partition"`
	Epoch     string      `json:"epoch"`
	Kind      string      `json:"kind"`
	First     uint64      `json:"first_offset"`
	Last      uint64      `json:"last_offset"`
	Detail    string      `json:"detail"`
	Evidence  []uuid.UUID `json:"evidence"` // events there, as they are stored now
	Found     time.Time   `json:"found"`
}

// Discrepancies returns up to limit of them, the newest first.
func (r *Reader) Discrepancies(ctx context.Context, limit int) ([]*SealDiscrepancy, error) {
	var out []*SealDiscrepancy
	err := r.rows(ctx, `SELECT tenant, topic, partition, epoch, kind, first_offset, last_offset, detail, evidence, found_time FROM seal_discrepancies FINAL
		WHERE `+tenant+` ORDER BY found_time DESC, topic, partition, first_offset LIMIT {limit:UInt32}`, parameters{"limit": fmt.Sprint(limit)}, func(rows driver.Rows) error {
		d := &SealDiscrepancy{}
		out = append(out, d)
		return rows.Scan(&d.Tenant, &d.Topic, &d.Partition, &d.Epoch, &d.Kind, &d.First, &d.Last, &d.Detail, &d.Evidence, &d.Found)
	})
	return out, err
}

// RetentionRecord is a signed record of records that were deleted by policy.
type RetentionRecord struct {
	ID        uuid.UUID `json:"id"`
	Tenant    string    `json:"tenant"`
	Topic     string    `json:"topic"`
	Partition uint32    `json:"partition"`
	Epoch     string    `json:"epoch"`
	First     uint64    `json:"first_offset"`
	Last      uint64    `json:"last_offset"`
	Count     uint64    `json:"count"`
	Kind      string    `json:"kind,omitempty"` // of the rule; absent: of all kinds without one
	Days      uint32    `json:"days"`
	Before    time.Time `json:"before"` // they came to the log earlier
	Time      time.Time `json:"time"`
	Event     uuid.UUID `json:"event"` // that says the same in the log
	// Deleted is when nothing of them was left; absent: some are still there.
	Deleted *time.Time `json:"deleted,omitempty"`
}

// RetentionRecords returns up to limit of them, the newest first.
func (r *Reader) RetentionRecords(ctx context.Context, limit int) ([]*RetentionRecord, error) {
	var out []*RetentionRecord
	err := r.rows(ctx, `SELECT id, tenant, topic, partition, epoch, first_offset, last_offset, count, kind, days, before, time, event_id, deleted_time FROM retention_records FINAL
		WHERE `+tenant+` ORDER BY time DESC, id LIMIT {limit:UInt32}`, parameters{"limit": fmt.Sprint(limit)}, func(rows driver.Rows) error {
		t := &RetentionRecord{}
		var deleted time.Time
		err := rows.Scan(&t.ID, &t.Tenant, &t.Topic, &t.Partition, &t.Epoch, &t.First, &t.Last, &t.Count, &t.Kind, &t.Days, &t.Before, &t.Time, &t.Event, &deleted)
		if deleted.Unix() > 0 {
			t.Deleted = &deleted
		}
		out = append(out, t)
		return err
	})
	return out, err
}
