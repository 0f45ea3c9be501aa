package enrich

import "github.com/ClickHouse/clickhouse-go/v2/lib/driver"

// NameActivityDays is under which pass_progress says before which day of storing
// activity_days is whole.
const NameActivityDays = "activity_days"

// Activity keeps activity_states: how often who did what in which hour, and
// activity_days, the same by day once the day of storing is over. No rule of
// ours reads it, so a minute of storing rests until it does not change any more.
func Activity(conn driver.Conn) Pass {
	p := &daysPass{minutePass: newMinutePass(conn, "take in who did what how often", activityQuery), name: NameActivityDays, states: "activity_states", add: activityDaysQuery}
	return Pass{Name: "activity", Take: p.take, Rest: Rest}
}

// Who is whoever acted, as first-seen has it.
const activityQuery = `INSERT INTO activity_states (tenant, iss, sub, hour, stored_hour, type, server_id, tool_name, outcome, minutes, first, last_time)
SELECT tenant, iss, sub, hour, stored_hour, type, server_id, tool_name, said AS outcome,
	mapFromArrays(groupArray(minute), groupArray(events)) AS minutes, min(first_of) AS first, max(last_of) AS last_time
FROM
(
	SELECT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
		toStartOfHour(time) AS hour, toStartOfHour(stored_time) AS stored_hour, type, server_id, tool_name,
		if(kind = 'permission_decision', decision_effect, outcome) AS said, toUInt8(toMinute(stored_time)) AS minute,
		count() AS events, min((time, id)) AS first_of, max(time) AS last_of
	FROM records
	WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND (actor_sub != '' OR subject_sub != '')
	GROUP BY tenant, iss, sub, hour, stored_hour, type, server_id, tool_name, said, minute
)
GROUP BY tenant, iss, sub, hour, stored_hour, type, server_id, tool_name, said`

const activityDaysQuery = `INSERT INTO activity_days (tenant, iss, sub, day, stored_day, type, server_id, tool_name, outcome, events, first_time, last_time)
SELECT tenant, iss, sub, toDate(hour, 'UTC') AS day, toDate(stored_hour, 'UTC') AS stored_day, type, server_id, tool_name, outcome,
	sum(arraySum(mapValues(minutes))), min(first.1), max(s.last_time)
FROM activity_states AS s FINAL
WHERE ` + ofPart + `
GROUP BY tenant, iss, sub, day, stored_day, type, server_id, tool_name, outcome`
