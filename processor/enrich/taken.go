package enrich

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// remembered is for how long behind the last step a stored time is known to be
// taken in. A round reaches back less, and if not it does the work again.
const remembered = 10 * time.Minute

// Taken spares a pass what it has taken in before: rounds reach back, and meet
// the same records again. One pass uses it, one step at a time.
type Taken struct {
	conn driver.Conn
	rows uint64
	unit string               // of stored time, in SQL: steps begin and end with one
	rest map[time.Time]uint64 // rows taken in that the next rounds meet again, by unit
}

// NewTaken returns one that knows nothing. A step takes in about that many rows:
// and the rest of their last block.
func NewTaken(conn driver.Conn, rows int) *Taken {
	return &Taken{conn, uint64(rows), "stored_time", map[time.Time]uint64{}}
}

// newTakenMinutes is one of whole minutes, for a pass that counts those. What it is
// given must begin with a minute; one in which it ends is taken in again when it has
// more.
func newTakenMinutes(conn driver.Conn, rows int) *Taken {
	return &Taken{conn, uint64(rows), "toStartOfMinute(stored_time)", map[time.Time]uint64{}}
}

// Steps calls take, in order, for windows that cover what was stored from
// inclusive, to exclusive, and was not taken in yet.
func (t *Taken) Steps(ctx context.Context, from, to time.Time, take func(ctx context.Context, from, to time.Time) error) error {
	blocks, err := t.blocks(ctx, from, to)
	if err != nil {
		return err
	}
	for _, w := range t.windows(blocks, to) {
		if err := take(ctx, w.from, w.to); err != nil {
			return err
		}
		t.remember(blocks, w, to)
	}
	return nil
}

// blocks returns how many rows there are by unit.
func (t *Taken) blocks(ctx context.Context, from, to time.Time) (map[time.Time]uint64, error) {
	return blocks(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), t.conn, t.unit, "state = 'stored'", from, to)
}

// Blocks returns of how many records the condition holds by the time at which they were
// stored, from inclusive, to exclusive: a block that the processor inserts has one stored time,
// so they are few.
func Blocks(ctx context.Context, conn driver.Conn, condition string, from, to time.Time) (map[time.Time]uint64, error) {
	return blocks(ctx, conn, "stored_time", condition, from, to)
}

func blocks(ctx context.Context, conn driver.Conn, unit, condition string, from, to time.Time) (map[time.Time]uint64, error) {
	out := map[time.Time]uint64{}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)}))
	err := table.Each(ctx, conn, "SELECT "+unit+" AS unit, count() FROM records WHERE "+condition+" AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} GROUP BY unit",
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
func (t *Taken) windows(blocks map[time.Time]uint64, to time.Time) (out []window) {
	rows := t.rows
	for _, at := range slices.SortedFunc(maps.Keys(blocks), time.Time.Compare) {
		if t.rest[at] == blocks[at] {
			continue
		}
		if rows >= t.rows {
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
func (t *Taken) remember(blocks map[time.Time]uint64, taken window, to time.Time) {
	horizon := to.Add(-remembered)
	for at := range t.rest {
		if at.Before(horizon) {
			delete(t.rest, at)
		}
	}
	for at, rows := range blocks {
		if !at.Before(horizon) && !at.Before(taken.from) && at.Before(taken.to) {
			t.rest[at] = rows
		}
	}
}
