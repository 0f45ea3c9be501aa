package enrich

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

const day = 24 * time.Hour

// daysPass counts by the hour, and adds up the days of storing that are over.
type daysPass struct {
	*minutePass
	name   string    // under which pass_progress says before which day of storing the days are whole
	states string    // the table by hour
	add    string    // the query that adds up a day of it for some of those in it
	folded time.Time // days before are added up; zero: not asked yet
}

func (p *daysPass) take(ctx context.Context, from, to time.Time) error {
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
			return fmt.Errorf("add up %s of the day %s: %w", p.states, p.folded.Format(time.DateOnly), err)
		}
	}
	return nil
}

// unfolded is the first day that may not be added up.
func (p *daysPass) unfolded(ctx context.Context, until time.Time) (first time.Time, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"pass": p.name, "until": fmt.Sprint(until.Unix())}), clickhouse.WithSettings(settings))
	err = p.conn.QueryRow(ctx, "SELECT max(watermark) FROM pass_progress WHERE pass = {pass:String}").Scan(&first)
	if err == nil && first.Unix() <= 0 {
		err = p.conn.QueryRow(ctx, "SELECT if(count() = 0, toDateTime({until:UInt32}, 'UTC'), min(stored_hour)) FROM "+p.states).Scan(&first)
	}
	if err != nil {
		return first, fmt.Errorf("look for days to add up: %w", err)
	}
	return first.UTC().Truncate(day), nil
}

// foldTogether is how many rows by hour are added up at a time, or those of one who has more.
const foldTogether = 2_000_000

// fold adds up a day and saves that it is.
func (p *daysPass) fold(ctx context.Context, of time.Time) error {
	bounded := func(v clickhouse.Parameters) context.Context {
		return clickhouse.Context(ctx, clickhouse.WithParameters(v), clickhouse.WithSettings(undivided))
	}
	values := clickhouse.Parameters{"from": fmt.Sprint(of.Unix()), "to": fmt.Sprint(of.Add(day).Unix()), "together": fmt.Sprint(foldTogether)}
	var parts []clickhouse.Parameters
	err := table.Each(bounded(values), p.conn, foldParts(p.states), func(rows driver.Rows) error {
		var tenant, first, last string
		err := rows.Scan(&tenant, &first, &last)
		parts = append(parts, clickhouse.Parameters{"from": values["from"], "to": values["to"], "tenant": table.Text(tenant), "first": table.Text(first), "last": table.Text(last)})
		return err
	})
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := p.conn.Exec(bounded(part), p.add); err != nil {
			return err
		}
	}
	return save(ctx, p.conn, p.name, of.Add(day), time.Now())
}

// ofPart are the rows of a day that are added up together.
const ofPart = ofDay + " AND tenant = {tenant:String} AND sub >= {first:String} AND sub <= {last:String}"

const ofDay = "stored_hour >= toDateTime({from:UInt32}, 'UTC') AND stored_hour < toDateTime({to:UInt32}, 'UTC')"

// foldParts are ranges of those whom the rows of a day are of.
func foldParts(states string) string {
	return `SELECT toString(tenant), min(sub), max(sub)
FROM
(
	SELECT tenant, sub, intDiv(sum(n) OVER (PARTITION BY tenant ORDER BY sub), {together:UInt64}) AS part
	FROM (SELECT tenant, sub, count() AS n FROM ` + states + ` WHERE ` + ofDay + ` GROUP BY tenant, sub)
)
GROUP BY tenant, part ORDER BY tenant, part`
}
