package detect

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/table"
)

// sight is what an engine saw of what was stored lately. A record is visible some
// time after its stored time; with what it saw before, a round knows which became so
// since, and judges those again and nothing else.
type sight struct {
	blocks map[time.Time]uint64    // records by stored time
	from   time.Time               // they were stored from it on
	until  time.Time               // and before it; zero is nothing seen
	late   []glimpse               // what became visible late, as long ago as records may
	whole  map[time.Time]time.Time // by when blocks were completed, the earliest stored time of those
}

// glimpse is a stored time of which something became visible later than what was
// looked at before.
type glimpse struct{ stored, seen time.Time }

// look sees what is visible now. It returns from which stored time on something is new;
// zero for nothing.
func (s *sight) look(ctx context.Context, st *store, visible time.Duration, now time.Time) (news time.Time, err error) {
	began, from := s.until.IsZero(), now.Add(-visible)
	if !began {
		from = earliest(now, s.until).Add(-visible)
	}
	blocks, err := st.blocks(ctx, from, now)
	if err != nil {
		return news, err
	}
	whole, err := st.completed(ctx, from)
	if err != nil {
		return news, err
	}
	seen := func(at time.Time) {
		if news.IsZero() || at.Before(news) {
			news = at
		}
	}
	for at, n := range blocks {
		if s.blocks[at] != n {
			seen(at)
		}
	}
	for at, stored := range whole {
		if s.whole[at].IsZero() {
			seen(stored)
		}
	}
	if !began && !news.IsZero() && news.Before(s.until) {
		s.late = append(s.late, glimpse{news, now})
	}
	for len(s.late) > 0 && s.late[0].seen.Before(now.Add(-visible)) {
		s.late = s.late[1:]
	}
	s.blocks, s.whole, s.from, s.until = blocks, whole, from, now
	return news, nil
}

// next returns the first stored time from a time on, until another, of what was seen; zero
// for none. It says no when it has not seen all of it.
func (s *sight) next(from, until time.Time) (first time.Time, seen bool) {
	if s.until.IsZero() || from.Before(s.from) {
		return first, false
	}
	for at := range s.blocks {
		if !at.Before(from) && at.Before(until) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first, true
}

// again is from where on a rule has to judge that goes by what passes took in until
// mark: they may not have met yet what became visible late.
func (s *sight) again(mark time.Time) time.Time {
	for _, g := range s.late {
		mark = earliest(mark, g.stored)
	}
	return mark
}

// blocks returns how many records were stored at which time.
func (s *store) blocks(ctx context.Context, from, to time.Time) (map[time.Time]uint64, error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": s.limits.Time.Seconds()}))
	return enrich.Blocks(ctx, s.conn, judged, from, to)
}

// judged are the records that rules judge.
const judged = "state IN ('stored', 'conflict')"

// completed returns, by when blocks were completed since a time, the earliest stored time
// of those.
func (s *store) completed(ctx context.Context, since time.Time) (map[time.Time]time.Time, error) {
	out := map[time.Time]time.Time{}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"since": table.Micro(since)}))
	err := table.Each(ctx, s.conn, "SELECT completed_time, min(stored_time) FROM completed_blocks WHERE completed_time >= {since:DateTime64(6, 'UTC')} GROUP BY completed_time", func(rows driver.Rows) error {
		var at, stored time.Time
		err := rows.Scan(&at, &stored)
		out[at.UTC()] = stored
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for completed blocks: %w", err)
	}
	return out, nil
}
