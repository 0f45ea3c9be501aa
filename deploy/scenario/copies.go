package scenario

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// copyMark is in the names of tenants that have another one's month.
const copyMark = "-copy-"

// apart is by how much the offsets of copies differ.
const apart = 10_000_000_000

// multiply gives further tenants the month, and what the passes made of it, until there
// are as many as asked. A copy differs in the tenant's name, the lowest bits of ids, and
// offsets. So a month of any size is there in minutes, and what the rules find in each
// copy has to be as much as in the first.
func (r *run) multiply(ctx context.Context) error {
	if r.copies > r.Copies {
		return fmt.Errorf("%s holds %d copies of the month, %d were asked for: begin anew without --again", r.Dir, r.copies, r.Copies)
	}
	if r.copies == r.Copies {
		return nil
	}
	conn := r.meter.admin
	began := time.Now()
	for r.copies < r.Copies {
		n := r.copies + 1
		for _, t := range table.Tenanted {
			if slices.Contains([]string{"event_keys", "source_sequences"}, t) {
				continue // views fill them
			}
			if err := copyRows(ctx, conn, t, n); err != nil {
				return fmt.Errorf("copy %d: %w", n, err)
			}
		}
		r.copies = n
		if err := r.save(); err != nil {
			return err
		}
		r.say("copy %d of %d stored, %.0f s", n, r.Copies, time.Since(began).Seconds())
	}
	return nil
}

// copyRows stores the rows of a table that are not of a copy anew.
func copyRows(ctx context.Context, conn driver.Conn, name string, n int) error {
	mark := fmt.Sprint(copyMark, n)
	var begun uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM "+name+" WHERE endsWith(tenant, ?)", mark).Scan(&begun); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if begun > 0 {
		return fmt.Errorf("%s has a part of it, so an earlier run did not end: begin anew without --again", name)
	}
	var columns, values []string
	err := table.Each(ctx, conn, fmt.Sprintf("SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '%s' AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position", name), func(rows driver.Rows) error {
		var column, kind string
		if err := rows.Scan(&column, &kind); err != nil {
			return err
		}
		columns, values = append(columns, column), append(values, copied(column, kind, n))
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	err = conn.Exec(ctx, fmt.Sprintf("INSERT INTO %[1]s (%[2]s) SELECT %[3]s FROM %[1]s WHERE position(tenant, '%[4]s') = 0 SETTINGS max_partitions_per_insert_block = 0, max_threads = 2, max_insert_threads = 1, max_execution_time = 0, max_memory_usage = 0",
		name, strings.Join(columns, ", "), strings.Join(values, ", "), copyMark))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// copied is a column of a copy's row.
func copied(column, kind string, n int) string {
	other := func(id string) string {
		return fmt.Sprintf("reinterpretAsUUID(bitXor(reinterpretAsUInt128(%s), %d))", id, n)
	}
	switch {
	case column == "tenant":
		return fmt.Sprintf("concat(tenant, '%s%d')", copyMark, n)
	case column == "offset":
		return fmt.Sprintf("offset + %d", n*apart)
	case kind == "UUID":
		return other(column)
	case kind == "Array(UUID)":
		return fmt.Sprintf("arrayMap(x -> %s, %s)", other("x"), column)
	}
	return column
}
