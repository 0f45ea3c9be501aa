package enrich

import "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

// Rhythm keeps rhythm_states: who called what how often, by hours of the week. Rules
// that fire within a minute wait for it, so a minute of storing is counted while it
// fills, and again when it has more.
func Rhythm(conn driver.Conn) Pass {
	p := newMinutePass(conn, "take in who called what how often", rhythmQuery)
	return Pass{Name: "rhythm", Take: p.take}
}

const rhythmQuery = `INSERT INTO rhythm_states (tenant, week_hour, iss, sub, hour, stored_hour, server_id, tool_name, outcome, minutes, first, last_time)
SELECT tenant, (toDayOfWeek(hour) - 1) * 24 + toHour(hour) AS week_hour, iss, sub, hour, stored_hour, server_id, tool_name, outcome,
	mapFromArrays(groupArray(minute), groupArray(events)) AS minutes, min(first_of) AS first, max(last_of) AS last_time
FROM
(
	SELECT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
		toStartOfHour(time) AS hour, toStartOfHour(stored_time) AS stored_hour, server_id, tool_name, outcome, toUInt8(toMinute(stored_time)) AS minute,
		count() AS events, min((time, id)) AS first_of, max(time) AS last_of
	FROM records
	WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
		AND type = 'mcp.tools.call' AND (actor_sub != '' OR subject_sub != '')
	GROUP BY tenant, iss, sub, hour, stored_hour, server_id, tool_name, outcome, minute
)
GROUP BY tenant, iss, sub, hour, stored_hour, server_id, tool_name, outcome`
