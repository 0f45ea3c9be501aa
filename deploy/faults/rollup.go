package faults

import (
	"context"
	"fmt"
	"strings"
)

// rollup is the target of a materialised view.
type rollup struct {
	target, engine, query string
	columns, types        []string // of the target, as far as the view fills them
}

// rollups counts every view's target again by the view's own query.
func (r *run) rollups(ctx context.Context) error {
	views, err := r.views(ctx)
	if err != nil {
		return err
	}
	r.result.RollupOK, r.result.Views = len(views) > 0, len(views)
	for _, v := range views {
		if !strings.HasSuffix(v.engine, "MergeTree") || strings.Contains(v.engine, "Aggregating") || strings.Contains(v.engine, "Summing") {
			return fmt.Errorf("the target %s has engine %s, whose rows cannot be compared as they are: teach deploy/faults/rollup.go", v.target, v.engine)
		}
		if err := r.recount(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) views(ctx context.Context) ([]rollup, error) {
	rows, err := r.admin.Query(ctx, `
		SELECT replaceRegexpOne(v.name, '_view$', ''), any(t.engine), any(v.as_select), groupArray(c.name), groupArray(c.type)
		FROM system.tables AS v
		INNER JOIN system.columns AS i ON i.database = v.database AND i.table = v.name
		INNER JOIN system.columns AS c ON c.database = v.database AND c.table = replaceRegexpOne(v.name, '_view$', '') AND c.name = i.name
		INNER JOIN system.tables AS t ON t.database = v.database AND t.name = replaceRegexpOne(v.name, '_view$', '')
		WHERE v.database = currentDatabase() AND v.engine = 'MaterializedView'
		GROUP BY v.name`)
	if err != nil {
		return nil, fmt.Errorf("list views: %w", err)
	}
	defer rows.Close()
	var out []rollup
	for rows.Next() {
		var v rollup
		if err := rows.Scan(&v.target, &v.engine, &v.query, &v.columns, &v.types); err != nil {
			return nil, fmt.Errorf("list views: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// recount compares the two as multisets: by number of rows and by two sums over
// hashes of whole rows.
func (r *run) recount(ctx context.Context, v rollup) error {
	var values []string
	for i, c := range v.columns {
		values = append(values, fmt.Sprintf("CAST(`%s` AS %s)", c, v.types[i]))
	}
	row := strings.Join(values, ", ")
	sums := "SELECT count(), sum(cityHash64(" + row + ")), sum(sipHash64(" + row + ")) FROM "
	var there, counted [3]uint64
	if err := one(ctx, r.admin, sums+v.target, &there[0], &there[1], &there[2]); err != nil {
		return fmt.Errorf("sum %s: %w", v.target, err)
	}
	if err := one(ctx, r.admin, sums+"("+v.query+")", &counted[0], &counted[1], &counted[2]); err != nil {
		return fmt.Errorf("count %s again: %w", v.target, err)
	}
	if there != counted {
		r.result.RollupOK = false
		r.result.problem("%s has %d rows, by its view's query over records it has %d, or they differ", v.target, there[0], counted[0])
	}
	return nil
}
