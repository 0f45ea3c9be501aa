package enrich

import (
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// NameReach is the pass whose progress says up to when reach_states is whole: the
// watermark less [Visible].
const NameReach = "reach"

// NameReachDays is under which pass_progress says before which day of storing
// reach_days is whole.
const NameReachDays = "reach_days"

// Visible is how far behind a watermark a minute of storing lies whose counts do
// not change any more.
const Visible = 5 * time.Minute

// Reach keeps reach_states, what the events that name somebody touched in each hour, and
// reach_days, the same by day once the day of storing is over, for blast radii.
func Reach(conn driver.Conn) Pass {
	p := &daysPass{minutePass: newMinutePass(conn, "take in what was reached", reachQuery), name: NameReachDays, states: "reach_states", add: reachDaysQuery}
	return Pass{Name: NameReach, Take: p.take, Rest: Rest}
}

// What an event says of how long a token is valid, of the one issued where it is an
// exchange, in ClickHouse's SQL over the columns of records.
const (
	// TokenRef is the reference of that token.
	TokenRef = "if(kind = 'token_exchange', exchange_issued_token_ref, token_ref)"
	// TokenEnd is until when it is valid; 1970 is not known.
	TokenEnd = "multiIf(kind != 'token_exchange', token_expires_at, exchange_expires_in = 0, fromUnixTimestamp64Micro(0, 'UTC'), time + toIntervalSecond(exchange_expires_in))"
	// TokenValid are the events that may speak of a valid token: used, issued, or both.
	TokenValid = "(kind = 'credential' OR kind = 'token_exchange' AND outcome = 'success' OR kind = 'tool_invocation' AND outcome IN ('success', 'failure'))"
)

// An event is in a row of each sub that it names; the issuers under which it does
// are one value, so that it is not counted twice of a sub.
const reachQuery = `INSERT INTO reach_states (tenant, sub, iss, hour, stored_hour, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	minutes, ran, denied, first_time, last_time, server_sensitivity, tool_sensitivity, server_owner, tool_owner, tool_destructive, lasting)
SELECT tenant, sub, issuers AS iss, hour, stored_hour, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	map(minute, events), map(minute, events_ran), map(minute, events_denied), first_of, last_of,
	sensitivity_of_server, sensitivity_of_tool, owner_of_server, owner_of_tool, destructive, refs
FROM
(
	WITH
		arrayZip(arrayConcat([subject_sub, actor_sub], chain_sub), arrayConcat([toString(subject_iss), toString(actor_iss)], arrayMap(i -> toString(i), chain_iss))) AS named,
		` + TokenRef + ` AS ref,
		` + TokenEnd + ` AS until,
		ref != '' AND (token_static OR until = fromUnixTimestamp64Micro(0, 'UTC') OR until > time + toIntervalDay(1)) AND ` + TokenValid + ` AS lasts
	SELECT tenant, sub, arraySort(arrayDistinct(arrayMap(n -> n.2, arrayFilter(n -> n.1 = sub, named)))) AS issuers,
		toStartOfHour(time) AS hour, toStartOfHour(stored_time) AS stored_hour, toUInt8(toMinute(stored_time)) AS minute,
		kind, server_id, tool_name, upstream, if(actor_sub != '', actor_iss, subject_iss) AS holder_iss, if(actor_sub != '', actor_sub, subject_sub) AS holder_sub,
		count() AS events, countIf(outcome IN ('success', 'failure')) AS events_ran, countIf(outcome = 'denied') AS events_denied,
		min(time) AS first_of, max(time) AS last_of,
		maxIf((time, toString(r.server_sensitivity)), r.server_sensitivity != '') AS sensitivity_of_server, maxIf((time, toString(r.tool_sensitivity)), r.tool_sensitivity != '') AS sensitivity_of_tool,
		maxIf((time, toString(r.server_owner)), r.server_owner != '') AS owner_of_server, maxIf((time, toString(r.tool_owner)), r.tool_owner != '') AS owner_of_tool,
		max(r.tool_destructive) AS destructive, groupUniqArrayIf(ref, lasts) AS refs
	FROM records AS r
	ARRAY JOIN arrayDistinct(arrayFilter(s -> s != '', named.1)) AS sub
	WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
		AND kind IN ('tool_invocation', 'token_exchange', 'permission_decision', 'credential')
	GROUP BY tenant, sub, issuers, hour, stored_hour, minute, kind, server_id, tool_name, upstream, holder_iss, holder_sub
)`

// One row of each key is made first (FINAL): to group by the key took five times as long.
const reachDaysQuery = `INSERT INTO reach_days (tenant, sub, iss, day, stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	events, ran, denied, first_time, last_time, server_sensitivity, tool_sensitivity, server_owner, tool_owner, tool_destructive, lasting)
SELECT tenant, sub, iss, toDate(hour, 'UTC') AS day, toDate(stored_hour, 'UTC') AS stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub,
	sum(arraySum(mapValues(minutes))), sum(arraySum(mapValues(ran))), sum(arraySum(mapValues(denied))), min(first_time), max(last_time),
	max(server_sensitivity), max(tool_sensitivity), max(server_owner), max(tool_owner), max(tool_destructive), groupUniqArrayArray(lasting)
FROM reach_states FINAL
WHERE ` + ofPart + `
GROUP BY tenant, sub, iss, day, stored_day, kind, server_id, tool_name, upstream, holder_iss, holder_sub`
