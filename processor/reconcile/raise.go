package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/processor/seal"
)

// raise stores what is new of what was found, for every tenant that it concerns.
func (r *Reconciler) raise(ctx context.Context, found []Discrepancy) error {
	if len(found) == 0 {
		return nil
	}
	known, err := r.store.known(ctx)
	if err != nil {
		return err
	}
	batch, err := r.cfg.ClickHouse.PrepareBatch(ctx, "INSERT INTO seal_discrepancies (tenant, topic, epoch, partition, kind, first_offset, last_offset, detail, evidence)")
	if err != nil {
		return fmt.Errorf("store discrepancies: %w", err)
	}
	defer batch.Close()
	for _, d := range found {
		if known[d.place()] {
			continue
		}
		r.tel.found(ctx, d)
		r.cfg.Logger.Error("stored records differ from what was sealed", "kind", d.Kind, "topic", d.Topic, "partition", d.Partition, "epoch", d.Epoch,
			"first_offset", d.From, "last_offset", d.Last(), "detail", d.Detail)
		concerned, err := r.store.concerned(ctx, d)
		if err != nil {
			return err
		}
		for _, tenant := range slices.Sorted(maps.Keys(concerned)) {
			if err := batch.Append(tenant, d.Topic, d.Epoch, uint32(d.Partition), string(d.Kind), d.From, d.Last(), d.Detail, concerned[tenant]); err != nil {
				return fmt.Errorf("store discrepancies: %w", err)
			}
		}
	}
	if batch.Rows() == 0 {
		return nil
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("store discrepancies: %w", err)
	}
	return nil
}

// place is what a discrepancy is about, without the words.
func (d *Discrepancy) place() Discrepancy {
	return Discrepancy{d.Kind, d.Topic, d.Partition, d.Epoch, d.From, d.Last(), ""}
}

// known are the places that are stored already.
func (s *store) known(ctx context.Context) (map[Discrepancy]bool, error) {
	rows, err := s.conn.Query(ctx, "SELECT DISTINCT kind, topic, epoch, partition, first_offset, last_offset FROM seal_discrepancies")
	if err != nil {
		return nil, fmt.Errorf("read discrepancies: %w", err)
	}
	defer rows.Close()
	known := map[Discrepancy]bool{}
	for rows.Next() {
		var d Discrepancy
		var kind string
		var partition uint32
		if err := rows.Scan(&kind, &d.Topic, &d.Epoch, &partition, &d.From, &d.To); err != nil {
			return nil, fmt.Errorf("read discrepancies: %w", err)
		}
		d.Kind, d.Partition = Kind(kind), int(partition)
		known[d] = true
	}
	return known, rows.Err()
}

// near is how far beside a range a tenant's records lie that are looked for: a
// row that was edited may name another tenant now, and of rows that are gone
// only the neighbours tell.
const near = 1000

// concerned are the tenants with records in a range or beside it, with the events
// in it that are stored now. Where there are none, it is everybody; where there is
// nobody, the tenant "".
func (s *store) concerned(ctx context.Context, d Discrepancy) (map[string][]uuid.UUID, error) {
	t := seal.Tree{Topic: d.Topic, Partition: d.Partition, Epoch: d.Epoch}
	p := parameters(t, d.From, d.Last())
	p["near"] = fmt.Sprint(near)
	const here = "offset >= {from:UInt64} AND offset <= {to:UInt64}"
	for _, where := range []string{
		ofTree + " AND offset + {near:UInt64} >= {from:UInt64} AND offset <= {to:UInt64} + {near:UInt64}",
		ofTree,
		"1",
	} {
		out, err := s.tenants(ctx, p, "SELECT tenant, arraySort(groupUniqArrayIf(100)(id, "+ofTree+" AND "+here+")) FROM records WHERE tenant != '' AND "+where+" GROUP BY tenant")
		if err != nil || len(out) > 0 {
			return out, err
		}
	}
	return map[string][]uuid.UUID{"": nil}, nil
}

func (s *store) tenants(ctx context.Context, p clickhouse.Parameters, query string) (map[string][]uuid.UUID, error) {
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), query)
	if err != nil {
		return nil, fmt.Errorf("look whose records a discrepancy is about: %w", err)
	}
	defer rows.Close()
	out := map[string][]uuid.UUID{}
	for rows.Next() {
		var tenant string
		var ids []uuid.UUID
		if err := rows.Scan(&tenant, &ids); err != nil {
			return nil, fmt.Errorf("look whose records a discrepancy is about: %w", err)
		}
		out[tenant] = ids
	}
	return out, rows.Err()
}
