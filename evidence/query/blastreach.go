package query

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
)

// settled is until when, of the time that records were stored, what was counted is
// whole and does not change. Zero: no pass has begun.
type settled struct {
	hours time.Time // of reach_states
	days  time.Time // of reach_days; zero: there are none
}

func (r *Reader) settled(ctx context.Context) (s settled, err error) {
	err = r.rows(ctx, "SELECT maxIf(watermark, pass = {hours:String}), maxIf(watermark, pass = {days:String}) FROM pass_progress", parameters{"hours": enrich.NameReach, "days": enrich.NameReachDays}, func(rows driver.Rows) error {
		return rows.Scan(&s.hours, &s.days)
	})
	if err != nil || s.hours.Unix() <= 0 {
		return settled{}, err
	}
	s.hours = s.hours.Add(-enrich.Visible).Truncate(time.Minute)
	if s.days.After(s.hours) { // what was stored since the hours is read from events
		s.days = s.hours.Truncate(24 * time.Hour)
	}
	return s, nil
}

// Where a principal's events are looked for. What is settled of whole hours was
// counted before, and of whole days added up; the hours that the window begins and ends
// in, and what was stored since, are read event by event.
const (
	wholeHours = "hour >= toDateTime({whole_from:UInt32}, 'UTC') AND hour < toDateTime({whole_to:UInt32}, 'UTC')"
	edgeHours  = "toStartOfHour(time) IN (toDateTime({edge_from:UInt32}, 'UTC'), toDateTime({edge_to:UInt32}, 'UTC')) AND NOT (toStartOfHour(time) >= toDateTime({whole_from:UInt32}, 'UTC') AND toStartOfHour(time) < toDateTime({whole_to:UInt32}, 'UTC'))"
	sinceThen  = "toStartOfHour(time) >= toDateTime({whole_from:UInt32}, 'UTC') AND toStartOfHour(time) < toDateTime({whole_to:UInt32}, 'UTC') AND stored_time >= toDateTime({settled:UInt32}, 'UTC')"

	// Rows of somebody: whole days, and by hour what is in none, at the ends of the window
	// or stored since. The two are asked for apart: one condition with OR uses no index.
	ofSub     = tenant + " AND sub = {sub:String} AND ({iss:String} = '' OR has(iss, {iss:String}))"
	daysOfSub = ofSub + " AND day >= toDate(toDateTime({day_from:UInt32}, 'UTC')) AND day < toDate(toDateTime({day_to:UInt32}, 'UTC')) AND stored_day < toDate(toDateTime({days:UInt32}, 'UTC'))"
	endsOfSub = ofSub + " AND " + wholeHours + " AND (hour < toDateTime({day_from:UInt32}, 'UTC') OR hour >= toDateTime({day_to:UInt32}, 'UTC'))"
	newOfSub  = ofSub + " AND hour >= toDateTime({day_from:UInt32}, 'UTC') AND hour < toDateTime({day_to:UInt32}, 'UTC') AND stored_hour >= toDateTime({days:UInt32}, 'UTC')"
)

func reachParameters(o ChainOptions, until settled, who parameters) parameters {
	p := maps.Clone(who)
	seconds := func(t time.Time) string { return strconv.FormatInt(max(t.Unix(), 0), 10) }
	wholeFrom, wholeTo := roundUp(o.From, time.Hour), o.To.Truncate(time.Hour)
	p["edge_from"], p["edge_to"] = seconds(o.From.Truncate(time.Hour)), seconds(wholeTo)
	p["whole_from"], p["whole_to"], p["settled"] = seconds(wholeFrom), seconds(wholeTo), seconds(until.hours)
	dayFrom, dayTo := roundUp(wholeFrom, 24*time.Hour), wholeTo.Truncate(24*time.Hour)
	if dayTo.Before(dayFrom) {
		dayTo = dayFrom
	}
	p["day_from"], p["day_to"], p["days"] = seconds(dayFrom), seconds(dayTo), seconds(until.days)
	return p
}

func roundUp(t time.Time, unit time.Duration) time.Time {
	down := t.Truncate(unit)
	if down.Before(t) {
		return down.Add(unit)
	}
	return down
}

// reached adds up what the events that name somebody touched.
func (b *blast) reached(ctx context.Context, r *Reader, s start, until settled, o ChainOptions, who parameters) error {
	named := byClaims(s)
	if until.hours.IsZero() {
		return b.count(ctx, r, named+" AND "+hoursInWindow, nil, o, who)
	}
	p := reachParameters(o, until, who)
	if err := b.countBefore(ctx, r, p); err != nil {
		return err
	}
	for _, where := range []string{edgeHours, sinceThen} {
		if err := b.count(ctx, r, named+" AND "+where, nil, o, p); err != nil {
			return err
		}
	}
	return nil
}

// Of a minute of storing the largest count is right, and of the rest any row tells: so
// each is asked for by itself, which takes half of what it takes to make one row of each
// key (FINAL) first.
const (
	touched = "kind, tenant, server_id, tool_name, upstream, holder_sub, holder_iss"

	counts = `SELECT ` + touched + `, sum(n) AS events, sum(n_ran) AS events_ran, sum(n_denied) AS events_denied
		FROM
		(
			SELECT ` + touched + `, max(events) AS n, max(ran) AS n_ran, max(denied) AS n_denied
			FROM reach_days
			WHERE ` + daysOfSub + ` AND kind != 'credential'
			GROUP BY ` + touched + `, iss, day, stored_day
			UNION ALL ` + hourCounts + endsOfSub + minutesOf + `
			UNION ALL ` + hourCounts + newOfSub + minutesOf + `
		)
		GROUP BY ` + touched + ` HAVING events > 0`

	hourCounts = `SELECT ` + touched + `, max(n) AS n, max(ran[minute]) AS n_ran, max(denied[minute]) AS n_denied
		FROM reach_states ARRAY JOIN mapKeys(minutes) AS minute, mapValues(minutes) AS n WHERE `
	minutesOf = ` AND kind != 'credential' AND toUnixTimestamp(stored_hour) + minute * 60 < {settled:UInt32}
		GROUP BY ` + touched + `, iss, hour, stored_hour, minute`

	facts = `SELECT ` + touched + `, min(first_time) AS first_of, max(last_time) AS last_of, max(server_sensitivity).2 AS sensitivity_of_server,
			max(tool_sensitivity).2 AS sensitivity_of_tool, max(server_owner).2 AS owner_of_server, max(tool_owner).2 AS owner_of_tool, max(tool_destructive) AS destructive
		FROM
		(
			SELECT ` + touched + `, ` + counted + ` FROM reach_days WHERE ` + daysOfSub + ` AND kind != 'credential'
			UNION ALL
			SELECT ` + touched + `, ` + counted + ` FROM reach_states WHERE ` + endsOfSub + ` AND kind != 'credential'
			UNION ALL
			SELECT ` + touched + `, ` + counted + ` FROM reach_states WHERE ` + newOfSub + ` AND kind != 'credential'
		)
		GROUP BY ` + touched

	counted = "first_time, last_time, server_sensitivity, tool_sensitivity, server_owner, tool_owner, tool_destructive"
)

// countBefore adds up what was counted before.
func (b *blast) countBefore(ctx context.Context, r *Reader, p parameters) error {
	p = maps.Clone(p)
	p["limit"] = strconv.Itoa(maxBlastGroups)
	n := 0
	err := r.rows(ctx, `SELECT toString(kind), toString(tenant), toString(server_id), toString(tool_name), toString(upstream), holder_sub, toString(holder_iss),
			events, events_ran, events_denied, first_of, last_of, sensitivity_of_server, sensitivity_of_tool, owner_of_server, owner_of_tool, destructive
		FROM (`+counts+`) AS c INNER JOIN (`+facts+`) AS f USING (`+touched+`)
		ORDER BY events DESC LIMIT {limit:UInt32}`, p,
		func(rows driver.Rows) error {
			n++
			return b.addGroup(rows)
		})
	if n >= maxBlastGroups {
		b.Cut = append(b.Cut, fmt.Sprintf("what was touched least, after %d pairs of holder and tool", maxBlastGroups))
	}
	return err
}

// addGroup adds a row of what was counted.
func (b *blast) addGroup(rows driver.Rows) error {
	var g group
	var first, last time.Time
	if err := rows.Scan(&g.kind, &g.tenant, &g.server, &g.tool, &g.resource, &g.sub, &g.iss, &g.count, &g.ran, &g.denied, &first, &last,
		&g.serverSensitivity, &g.toolSensitivity, &g.serverOwner, &g.toolOwner, &g.destructive); err != nil {
		return err
	}
	g.first, g.last = event.TimeOf(first), event.TimeOf(last)
	b.add(&g)
	return nil
}

// maybeLive returns tokens of somebody that some event lets last beyond To. Only
// what else is known of them says whether they do. Those that outlast their event by
// more than a day were noted by hour; of the others the last day tells.
func (b *blast) maybeLive(ctx context.Context, r *Reader, s start, until settled, o ChainOptions, who parameters) (refs []string, err error) {
	named := byClaims(s)
	if until.hours.IsZero() {
		refs, err = b.lasting(ctx, r, named+" AND "+hoursInWindow, o, who)
	} else {
		p := reachParameters(o, until, who)
		p["limit"] = strconv.Itoa(maxStanding + 1)
		err = r.rows(ctx, "SELECT DISTINCT arrayJoin(lasting) FROM (SELECT lasting FROM reach_days WHERE "+daysOfSub+" UNION ALL SELECT lasting FROM reach_states WHERE "+endsOfSub+" UNION ALL SELECT lasting FROM reach_states WHERE "+newOfSub+") WHERE notEmpty(lasting) LIMIT {limit:UInt32}", p,
			func(rows driver.Rows) error { return scanInto(rows, &refs) })
		lastDay := o
		if from := o.To.Add(-25 * time.Hour); from.After(o.From) {
			lastDay.From = from
		}
		for _, part := range []struct {
			where string
			o     ChainOptions
		}{{hoursInWindow, lastDay}, {edgeHours, o}, {sinceThen, o}} {
			if err != nil {
				return nil, err
			}
			var more []string
			more, err = b.lasting(ctx, r, named+" AND "+part.where, part.o, p)
			refs = append(refs, more...)
		}
	}
	slices.Sort(refs)
	if refs = slices.Compact(refs); len(refs) > maxStanding {
		refs = refs[:maxStanding]
		b.Cut = append(b.Cut, fmt.Sprintf("tokens that may be valid after %d of them", maxStanding))
	}
	return refs, err
}

// lasting returns the tokens that some of the events lets last beyond To. Few do:
// what events say of a token's end is read of all, who and which of those few only.
func (b *blast) lasting(ctx context.Context, r *Reader, which string, o ChainOptions, who parameters) (refs []string, err error) {
	p := blastParameters(o, nil, who)
	p["limit"] = strconv.Itoa(maxStanding + 1)
	err = r.rows(ctx, "SELECT DISTINCT "+enrich.TokenRef+" AS ref FROM records PREWHERE "+tenant+" AND "+hoursInWindow+" AND "+enrich.TokenValid+
		" AND (token_static OR "+enrich.TokenEnd+" = fromUnixTimestamp64Micro(0, 'UTC') OR "+enrich.TokenEnd+" > fromUnixTimestamp64Micro(toInt64({to:String}), 'UTC'))"+
		" WHERE state = 'stored' AND "+inWindow+" AND "+which+" AND ref != '' LIMIT {limit:UInt32}", p,
		func(rows driver.Rows) error { return scanInto(rows, &refs) })
	return refs, err
}
