package enrich

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/custody-audit/custody/schemas/table"
)

// NameReachDays is under which pass_progress says before which day of storing
// reach_days is whole.
const NameReachDays = "reach_days"

const day = 24 * time.Hour

// reachPass counts by the hour, and adds up the days of storing that are over.
type reachPass struct {
	*minutePass
	folded time.Time // days before are in reach_days; zero: not asked yet
}

func (p *reachPass) take(ctx context.Context, from, to time.Time) error {
	if err := p.minutePass.take(ctx, from, to); err != nil {
		return err
	}
	for until := to.Add(-Visible).Truncate(day); p.folded.Before(until); p.folded = p.folded.Add(day) {
		if p.folded.IsZero() {
			var err error
			if p.folded, err = p.unfolded(ctx, until); err != nil {
				return err
			}
			if !p.folded.Before(until) {
				break
			}
		}
		if err := p.fold(ctx, p.folded); err != nil {
			return err
		}
	}
	return nil
}

// unfolded is the first day that may not be in reach_days.
func (p *reachPass) unfolded(ctx context.Context, until time.Time) (first time.Time, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"pass": NameReachDays, "until": fmt.Sprint(until.Unix())}), clickhouse.WithSettings(settings))
	const sql = `SELECT if(saved > toDateTime64(0, 6, 'UTC'), saved, least(oldest, toDateTime64({until:UInt32}, 6, 'UTC')))
		FROM (SELECT max(watermark) AS saved FROM pass_progress WHERE pass = {pass:String}) AS a,
			(SELECT toDateTime64(minOrDefaultIf(stored_hour, stored_hour < toDateTime({until:UInt32}, 'UTC')), 6, 'UTC') AS first, if(first = 0, toDateTime64({until:UInt32}, 6, 'UTC'), first) AS oldest FROM reach_states) AS b`
	if err := p.conn.QueryRow(ctx, sql).Scan(&first); err != nil {
		return first, fmt.Errorf("look for days to add up: %w", err)
	}
	return first.Truncate(day), nil
}

// foldTogether is how many rows by hour are added up at a time.
const foldTogether = 10_000_000

// fold adds up a day, by parts of those who are named, and saves that it is. In the order of
// the table little need be in memory at a time.
func (p *reachPass) fold(ctx context.Context, of time.Time) error {
	values := clickhouse.Parameters{"from": fmt.Sprint(of.Unix()), "to": fmt.Sprint(of.Add(day).Unix())}
	s := maps.Clone(settings)
	s["max_execution_time"], s["max_memory_usage"], s["optimize_aggregation_in_order"] = 600, 2<<30, 1
	bounded := func() context.Context {
		return clickhouse.Context(ctx, clickhouse.WithParameters(values), clickhouse.WithSettings(s))
	}
	failed := func(err error) error {
		return fmt.Errorf("add up what was reached, of the day %s: %w", of.Format(time.DateOnly), err)
	}
	var rows uint64
	if err := p.conn.QueryRow(bounded(), "SELECT count() FROM reach_states WHERE "+ofDay).Scan(&rows); err != nil {
		return failed(err)
	}
	parts := rows/foldTogether + 1
	for part := range parts {
		values["parts"], values["part"] = fmt.Sprint(parts), fmt.Sprint(part)
		if err := p.conn.Exec(bounded(), foldQuery); err != nil {
			return failed(err)
		}
	}
	return table.Insert(ctx, p.conn, "pass_progress (pass, watermark, changed_time)", func(add func(...any) error) error {
		return add(NameReachDays, of.Add(day), time.Now())
	})
}

const ofDay = "stored_hour >= toDateTime({from:UInt32}, 'UTC') AND stored_hour < toDateTime({to:UInt32}, 'UTC')"

const foldQuery = `INSERT INTO reach_days (tenant, sub, iss, day, stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	events, ran, denied, first_time, last_time, server_sensitivity, tool_sensitivity, server_owner, tool_owner, tool_destructive, lasting)
SELECT tenant, sub, iss, toDate(hour, 'UTC') AS day, toDate(stored_hour, 'UTC') AS stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	sum(arraySum(mapValues(n))), sum(arraySum(mapValues(n_ran))), sum(arraySum(mapValues(n_denied))), min(first_of), max(last_of),
	max(sensitivity_of_server), max(sensitivity_of_tool), max(owner_of_server), max(owner_of_tool), max(destructive), groupUniqArrayArray(refs)
FROM
(
	SELECT tenant, sub, hour, kind, server_id, tool_name, upstream, holder_iss, holder_sub, iss, stored_hour,
		maxMap(minutes) AS n, maxMap(ran) AS n_ran, maxMap(denied) AS n_denied, min(first_time) AS first_of, max(last_time) AS last_of,
		max(server_sensitivity) AS sensitivity_of_server, max(tool_sensitivity) AS sensitivity_of_tool, max(server_owner) AS owner_of_server, max(tool_owner) AS owner_of_tool,
		max(tool_destructive) AS destructive, groupUniqArrayArray(lasting) AS refs
	FROM reach_states
	WHERE ` + ofDay + ` AND cityHash64(tenant, sub) % {parts:UInt64} = {part:UInt64}
	GROUP BY tenant, sub, hour, kind, server_id, tool_name, upstream, holder_iss, holder_sub, iss, stored_hour
)
GROUP BY tenant, sub, iss, day, stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub`
