package verdict

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// remembered is for how long behind the last step a stored time is known to be
// taken in. A round reaches back less, and if not it does the work again.
const remembered = 10 * time.Minute

// blocks returns how many rows there are by stored time: a block that the
// processor inserts has one, so they are few.
func (p *Pass) blocks(ctx context.Context, from, to time.Time) (map[time.Time]uint64, error) {
	out := map[time.Time]uint64{}
	ctx = with(ctx, clickhouse.Parameters{"from": micro(from), "to": micro(to)})
	err := each(ctx, p.conn, "SELECT stored_time, count() FROM records WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} GROUP BY stored_time",
		func(rows driver.Rows) error {
			var at time.Time
			var n uint64
			err := rows.Scan(&at, &n)
			out[at.UTC()] = n
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("look for what is new: %w", err)
	}
	return out, nil
}

// window is stored time that one step takes in, from inclusive, to exclusive.
type window struct{ from, to time.Time }

// windows cover what was not taken in yet, in order.
func (p *Pass) windows(blocks map[time.Time]uint64, to time.Time) (out []window) {
	rows := p.rows
	for _, at := range slices.SortedFunc(maps.Keys(blocks), time.Time.Compare) {
		if p.taken[at] == blocks[at] {
			continue
		}
		if rows >= p.rows {
			if len(out) > 0 {
				out[len(out)-1].to = at
			}
			out, rows = append(out, window{at, to}), 0
		}
		rows += blocks[at]
	}
	return out
}

// remember keeps what the next rounds will meet again.
func (p *Pass) remember(blocks map[time.Time]uint64, taken window, to time.Time) {
	horizon := to.Add(-remembered)
	for at := range p.taken {
		if at.Before(horizon) {
			delete(p.taken, at)
		}
	}
	for at, rows := range blocks {
		if !at.Before(horizon) && !at.Before(taken.from) && at.Before(taken.to) {
			p.taken[at] = rows
		}
	}
}

// settings bound one query, so that the pass takes ClickHouse neither from the
// processor nor from those who ask.
var settings = clickhouse.Settings{
	"max_execution_time":      60,
	"timeout_overflow_mode":   "throw",
	"max_memory_usage":        1 << 30,
	"max_ast_elements":        200_000, // the view of decisions is named in many places
	"max_threads":             2,
	"priority":                10, // behind those who ask
	"enable_materialized_cte": 1,
	"async_insert":            0,
}

func with(ctx context.Context, p clickhouse.Parameters, more ...clickhouse.QueryOption) context.Context {
	return clickhouse.Context(ctx, append(more, clickhouse.WithParameters(p), clickhouse.WithSettings(settings))...)
}

// each reads the rows of a query.
func each(ctx context.Context, conn driver.Conn, sql string, read func(driver.Rows) error) error {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// micro writes a time as ClickHouse parses DateTime64(6) in UTC.
func micro(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000") }
