package enrich

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// Rest is how long a minute of storing must be over before a pass that
// nobody waits for counts it: so each is
// counted once, after what is visible late is visible too.
const Rest = 2 * time.Minute

// together is how many records of several minutes are counted at a time.
const together = 200_000

// minutePass counts by minutes of storing, into a table where the largest count of
// one is right: so one may be counted while it fills, and is again only when it has
// more records than when it was counted last.
type minutePass struct {
	conn        driver.Conn
	taken       *Taken
	what, query string
}

func newMinutePass(conn driver.Conn, what, query string) *minutePass {
	return &minutePass{conn, newTakenMinutes(conn, together), what, query}
}

func (p *minutePass) take(ctx context.Context, from, to time.Time) error {
	if err := p.taken.Steps(ctx, from.Truncate(time.Minute), to, p.count); err != nil {
		return fmt.Errorf("%s: %w", p.what, err)
	}
	return nil
}

// count takes in whole minutes. One cannot be taken in by parts: it may take longer
// than other steps, and what is too much for memory goes to disk. Rows of one key become
// one when ClickHouse merges: to do so where they are inserted took half the time.
func (p *minutePass) count(ctx context.Context, from, to time.Time) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"from": table.Micro(from), "to": table.Micro(to)}), clickhouse.WithSettings(undivided))
	return p.conn.Exec(ctx, p.query)
}

// undivided are the settings of what cannot be taken in by parts.
var undivided = func() clickhouse.Settings {
	s := maps.Clone(settings)
	s["max_execution_time"], s["max_memory_usage"] = 600, 2<<30
	s["max_bytes_before_external_group_by"], s["optimize_on_insert"] = 400<<20, 0
	return s
}()
