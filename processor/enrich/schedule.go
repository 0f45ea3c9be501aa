package enrich

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// minStep is where a pass gives up making its step smaller.
const minStep = time.Second

// catchUp takes in step by step from the watermark, and as far behind it as
// records may have become visible since, until the given time. It returns how
// far it came, also with an error.
func (e *Engine) catchUp(ctx context.Context, p *pass, watermark, until time.Time) (time.Time, error) {
	from := watermark.Add(-e.cfg.Visible)
	for from.Before(until) {
		first, err := FirstStored(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), e.cfg.ClickHouse, "state = 'stored'", from, until, p.step)
		if err != nil {
			return watermark, err
		}
		if first.IsZero() {
			return latest(watermark, until), nil
		}
		to := first.Add(p.step)
		if to.After(until) {
			to = until
		}
		began := time.Now()
		err = p.Take(ctx, first, to)
		e.tel.took(ctx, p.Name, time.Since(began))
		if Exceeded(err) && p.step > minStep {
			p.step = max(p.step/2, minStep)
			continue
		}
		if err != nil {
			return watermark, err
		}
		from, watermark = to, latest(watermark, to)
		e.cfg.Progress(p.Name, to)
		p.step = min(2*p.step, e.cfg.Step)
	}
	return watermark, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// settings bound one query, so that no pass takes ClickHouse from the processor
// or from those who ask.
var settings = clickhouse.Settings{
	"max_execution_time":    60,
	"timeout_overflow_mode": "throw",
	"max_memory_usage":      1 << 30,
	"max_result_rows":       maxResults,
	"result_overflow_mode":  "throw",
	"max_threads":           2,
	"priority":              10,
	"async_insert":          0,
}

// maxResults is how many exchanges one step takes in.
const maxResults = 200_000

// What ClickHouse answers when a limit is met, as in its ErrorCodes.cpp.
const (
	timeoutExceeded    = 159
	memoryLimit        = 241
	tooManyRowsOrBytes = 396
)

// Exceeded tells that a query met a limit and may succeed with less.
func Exceeded(err error) bool {
	var e *clickhouse.Exception
	return errors.As(err, &e) && slices.Contains([]int32{timeoutExceeded, memoryLimit, tooManyRowsOrBytes}, e.Code)
}

// serverTime is the present by the clock that stored times are of.
func serverTime(ctx context.Context, conn driver.Conn) (now time.Time, err error) {
	if err := conn.QueryRow(ctx, "SELECT now64(6, 'UTC')").Scan(&now); err != nil {
		return now, fmt.Errorf("ask clickhouse for the time: %w", err)
	}
	return now, nil
}

// FirstStored returns the first stored time of records of which the condition holds,
// from inclusive, until exclusive; zero for none. It looks at the time nearest to from
// first and then ever further, so that what lies between is not read.
func FirstStored(ctx context.Context, conn driver.Conn, condition string, from, until time.Time, near time.Duration) (first time.Time, err error) {
	if from.Before(time.Unix(0, 0)) {
		from = time.Unix(0, 0) // which DateTime64 can say
	}
	for ; from.Before(until); near *= 4 {
		to := from.Add(near)
		if to.After(until) {
			to = until
		}
		var n uint64
		asked := clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)}))
		err := conn.QueryRow(asked, "SELECT count(), min(stored_time) FROM records WHERE "+condition+" AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}").Scan(&n, &first)
		if err != nil {
			return time.Time{}, fmt.Errorf("look for what is new: %w", err)
		}
		if n > 0 {
			return first, nil
		}
		from = to
	}
	return time.Time{}, nil
}

// progress returns how far each pass has come.
func (e *Engine) progress(ctx context.Context) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	err := table.Each(ctx, e.cfg.ClickHouse, "SELECT pass, max(watermark) FROM pass_progress GROUP BY pass", func(rows driver.Rows) error {
		var name string
		var mark time.Time
		err := rows.Scan(&name, &mark)
		out[name] = mark
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read how far the passes are: %w", err)
	}
	return out, nil
}

// save keeps how far a pass has come.
func save(ctx context.Context, conn driver.Conn, name string, mark, now time.Time) error {
	return table.Insert(ctx, conn, "pass_progress (pass, watermark, changed_time)", func(add func(...any) error) error { return add(name, mark, now) })
}
