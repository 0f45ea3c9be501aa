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

// settled is until when, of the time that records were stored, reach_states is whole
// and does not change. Zero: no pass has begun.
func (r *Reader) settled(ctx context.Context) (until time.Time, err error) {
	err = r.rows(ctx, "SELECT max(watermark) FROM pass_progress WHERE pass = {pass:String}", parameters{"pass": enrich.NameReach}, func(rows driver.Rows) error {
		return rows.Scan(&until)
	})
	if err != nil || until.Unix() <= 0 {
		return time.Time{}, err
	}
	return until.Add(-enrich.Visible).Truncate(time.Minute), nil
}

// Where a principal's events are looked for. What is settled of whole hours was
// counted before; the hours that the window begins and ends in, and what was stored
// since, are read event by event.
const (
	wholeHours = "hour >= toDateTime({whole_from:UInt32}, 'UTC') AND hour < toDateTime({whole_to:UInt32}, 'UTC')"
	edgeHours  = "toStartOfHour(time) IN (toDateTime({edge_from:UInt32}, 'UTC'), toDateTime({edge_to:UInt32}, 'UTC')) AND NOT (toStartOfHour(time) >= toDateTime({whole_from:UInt32}, 'UTC') AND toStartOfHour(time) < toDateTime({whole_to:UInt32}, 'UTC'))"
	sinceThen  = "toStartOfHour(time) >= toDateTime({whole_from:UInt32}, 'UTC') AND toStartOfHour(time) < toDateTime({whole_to:UInt32}, 'UTC') AND stored_time >= toDateTime({settled:UInt32}, 'UTC')"

	// ofSub are the rows of somebody.
	ofSub = tenant + " AND sub = {sub:String} AND ({iss:String} = '' OR has(iss, {iss:String})) AND " + wholeHours
)

func reachParameters(o ChainOptions, settled time.Time, who parameters) parameters {
	p := maps.Clone(who)
	seconds := func(t time.Time) string { return strconv.FormatInt(max(t.Unix(), 0), 10) }
	from := o.From.Truncate(time.Hour)
	whole := from
	if whole.Before(o.From) {
		whole = whole.Add(time.Hour)
	}
	p["edge_from"], p["edge_to"] = seconds(from), seconds(o.To.Truncate(time.Hour))
	p["whole_from"], p["whole_to"], p["settled"] = seconds(whole), seconds(o.To.Truncate(time.Hour)), seconds(settled)
	return p
}

// reached adds up what the events that name somebody touched.
func (b *blast) reached(ctx context.Context, r *Reader, s start, settled time.Time, o ChainOptions, who parameters) error {
	named := byClaims(s)
	if settled.IsZero() {
		return b.count(ctx, r, named+" AND "+hoursInWindow, nil, o, who)
	}
	p := reachParameters(o, settled, who)
	if err := b.countHours(ctx, r, p); err != nil {
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

	hourCounts = `SELECT ` + touched + `, sum(n) AS events, sum(n_ran) AS events_ran, sum(n_denied) AS events_denied
		FROM
		(
			SELECT ` + touched + `, max(n) AS n, max(ran[minute]) AS n_ran, max(denied[minute]) AS n_denied
			FROM reach_states ARRAY JOIN mapKeys(minutes) AS minute, mapValues(minutes) AS n
			WHERE ` + ofSub + ` AND kind != 'credential' AND toUnixTimestamp(stored_hour) + minute * 60 < {settled:UInt32}
			GROUP BY ` + touched + `, iss, hour, stored_hour, minute
		)
		GROUP BY ` + touched + ` HAVING events > 0`

	hourFacts = `SELECT ` + touched + `, min(first_time) AS first_of, max(last_time) AS last_of, max(server_sensitivity).2 AS sensitivity_of_server,
			max(tool_sensitivity).2 AS sensitivity_of_tool, max(server_owner).2 AS owner_of_server, max(tool_owner).2 AS owner_of_tool, max(tool_destructive) AS destructive
		FROM reach_states WHERE ` + ofSub + ` AND kind != 'credential' GROUP BY ` + touched
)

func (b *blast) countHours(ctx context.Context, r *Reader, p parameters) error {
	p = maps.Clone(p)
	p["limit"] = strconv.Itoa(maxBlastGroups)
	n := 0
	err := r.rows(ctx, `SELECT toString(kind), toString(tenant), toString(server_id), toString(tool_name), toString(upstream), holder_sub, toString(holder_iss),
			events, events_ran, events_denied, first_of, last_of, sensitivity_of_server, sensitivity_of_tool, owner_of_server, owner_of_tool, destructive
		FROM (`+hourCounts+`) AS c INNER JOIN (`+hourFacts+`) AS f USING (`+touched+`)
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
func (b *blast) maybeLive(ctx context.Context, r *Reader, s start, settled time.Time, o ChainOptions, who parameters) (refs []string, err error) {
	named := byClaims(s)
	if settled.IsZero() {
		refs, err = b.lasting(ctx, r, named+" AND "+hoursInWindow, o, who)
	} else {
		p := reachParameters(o, settled, who)
		p["limit"] = strconv.Itoa(maxStanding + 1)
		err = r.rows(ctx, "SELECT DISTINCT arrayJoin(lasting) FROM reach_states WHERE "+ofSub+" AND notEmpty(lasting) LIMIT {limit:UInt32}", p,
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
