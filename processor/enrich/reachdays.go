package enrich

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

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
	until := to.Add(-Visible).Truncate(day)
	if p.folded.IsZero() {
		var err error
		if p.folded, err = p.unfolded(ctx, until); err != nil {
			return err
		}
	}
	for ; p.folded.Before(until); p.folded = p.folded.Add(day) {
		if err := p.fold(ctx, p.folded); err != nil {
			return fmt.Errorf("add up what was reached, of the day %s: %w", p.folded.Format(time.DateOnly), err)
		}
	}
	return nil
}

// unfolded is the first day that may not be in reach_days.
func (p *reachPass) unfolded(ctx context.Context, until time.Time) (first time.Time, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"pass": NameReachDays, "until": fmt.Sprint(until.Unix())}), clickhouse.WithSettings(settings))
	err = p.conn.QueryRow(ctx, "SELECT max(watermark) FROM pass_progress WHERE pass = {pass:String}").Scan(&first)
	if err == nil && first.Unix() <= 0 {
		err = p.conn.QueryRow(ctx, "SELECT if(count() = 0, toDateTime({until:UInt32}, 'UTC'), min(stored_hour)) FROM reach_states").Scan(&first)
	}
	if err != nil {
		return first, fmt.Errorf("look for days to add up: %w", err)
	}
	return first.UTC().Truncate(day), nil
}

// foldTogether is how many rows by hour are added up at a time, or those of one who has more.
const foldTogether = 2_000_000

// fold adds up a day and saves that it is.
func (p *reachPass) fold(ctx context.Context, of time.Time) error {
	bounded := func(v clickhouse.Parameters) context.Context {
		return clickhouse.Context(ctx, clickhouse.WithParameters(v), clickhouse.WithSettings(undivided))
	}
	values := clickhouse.Parameters{"from": fmt.Sprint(of.Unix()), "to": fmt.Sprint(of.Add(day).Unix()), "together": fmt.Sprint(foldTogether)}
	var parts []clickhouse.Parameters
	err := table.Each(bounded(values), p.conn, foldParts, func(rows driver.Rows) error {
		var tenant, first, last string
		err := rows.Scan(&tenant, &first, &last)
		parts = append(parts, clickhouse.Parameters{"from": values["from"], "to": values["to"], "tenant": table.Text(tenant), "first": table.Text(first), "last": table.Text(last)})
		return err
	})
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := p.conn.Exec(bounded(part), foldQuery); err != nil {
			return err
		}
	}
	return save(ctx, p.conn, NameReachDays, of.Add(day), time.Now())
}

const ofDay = "stored_hour >= toDateTime({from:UInt32}, 'UTC') AND stored_hour < toDateTime({to:UInt32}, 'UTC')"

// foldParts are ranges of those who are named, in the order of the table.
const foldParts = `SELECT toString(tenant), min(sub), max(sub)
FROM
(
	SELECT tenant, sub, intDiv(sum(n) OVER (PARTITION BY tenant ORDER BY sub), {together:UInt64}) AS part
	FROM (SELECT tenant, sub, count() AS n FROM reach_states WHERE ` + ofDay + ` GROUP BY tenant, sub)
)
GROUP BY tenant, part ORDER BY tenant, part`

// One row of each key is made first (FINAL): to group by the key took five times as long.
const foldQuery = `INSERT INTO reach_days (tenant, sub, iss, day, stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	events, ran, denied, first_time, last_time, server_sensitivity, tool_sensitivity, server_owner, tool_owner, tool_destructive, lasting)
SELECT tenant, sub, iss, toDate(hour, 'UTC') AS day, toDate(stored_hour, 'UTC') AS stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	sum(arraySum(mapValues(minutes))), sum(arraySum(mapValues(ran))), sum(arraySum(mapValues(denied))), min(first_time), max(last_time),
	max(server_sensitivity), max(tool_sensitivity), max(server_owner), max(tool_owner), max(tool_destructive), groupUniqArrayArray(lasting)
FROM reach_states FINAL
WHERE ` + ofDay + ` AND tenant = {tenant:String} AND sub >= {first:String} AND sub <= {last:String}
GROUP BY tenant, sub, iss, day, stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub`
