-- Who did far more in an hour than it usually does in that hour of the week? One row is one identity and day; the rule's name says what is
-- counted: calls, refused calls, different tools or different servers.
WITH
    touched AS MATERIALIZED (
        SELECT DISTINCT tenant, toString(if(actor_sub != '', actor_iss, subject_iss)) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub, toStartOfHour(time) AS hour
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND type = 'mcp.tools.call' AND (actor_sub != '' OR subject_sub != '')
    ),
    -- Most end here: what is little is never odd.
    loud AS MATERIALIZED (
        SELECT tenant, toString(iss) AS iss, sub, hour, groupUniqArray(toString(server_id)) AS servers, max(last_time) AS last_at, arraySort(groupArray(first_event)) AS firsts,
            toFloat64(multiIf({rule:String} = 'refusal_anomaly', sumIf(events, outcome = 'denied'), {rule:String} = 'tool_anomaly', uniqExact(server_id, tool_name),
                {rule:String} = 'fan_out_anomaly', uniqExact(server_id), sum(events))) AS number
        FROM activity_hourly
        WHERE (tenant, iss, sub, hour) IN (SELECT tenant, iss, sub, hour FROM touched) AND type = 'mcp.tools.call'
        GROUP BY tenant, iss, sub, hour
        HAVING number >= {least:UInt32}
    ),
    past AS MATERIALIZED (
        SELECT tenant, iss, sub, min(hour) AS since, groupArrayIf((hour, number), number > 0) AS hours
        FROM (
            SELECT tenant, toString(iss) AS iss, sub, hour,
                toFloat64(multiIf({rule:String} = 'refusal_anomaly', sumIf(events, type = 'mcp.tools.call' AND outcome = 'denied'),
                    {rule:String} = 'tool_anomaly', uniqExactIf((server_id, tool_name), type = 'mcp.tools.call'),
                    {rule:String} = 'fan_out_anomaly', uniqExactIf(server_id, type = 'mcp.tools.call'), sumIf(events, type = 'mcp.tools.call'))) AS number
            FROM activity_hourly
            WHERE (tenant, iss, sub) IN (SELECT tenant, iss, sub FROM loud) AND hour >= (SELECT min(hour) FROM loud) - toIntervalHour(168 * {weeks:UInt32} + 1)
            GROUP BY tenant, iss, sub, hour
        )
        GROUP BY tenant, iss, sub
    ),
    -- A sample is the busiest of three hours around, a whole number of weeks before: a shift by an hour, or the clock's change, is nothing odd.
    own AS MATERIALIZED (
        SELECT l.tenant AS tenant, l.iss AS iss, l.sub AS sub, l.hour AS hour, l.servers AS servers, l.last_at AS last_at, l.firsts AS firsts, l.number AS number, p.since AS since,
            arrayMap(w -> arrayMax(arrayPushBack(arrayMap(h -> h.2, arrayFilter(h -> abs(dateDiff('hour', h.1, l.hour) - 168 * w) <= 1, p.hours)), 0.)),
                arrayFilter(w -> l.hour - toIntervalHour(168 * w) >= p.since, range(1, {weeks:UInt32} + 1))) AS samples
        FROM loud AS l
        INNER JOIN past AS p ON p.tenant = l.tenant AND p.iss = l.iss AND p.sub = l.sub
        WHERE l.hour >= p.since + toIntervalDay({learning:UInt32})
    ),
    young AS MATERIALIZED (SELECT tenant, iss, sub, hour, servers FROM own WHERE length(samples) < {own_weeks:UInt32}),
    others AS MATERIALIZED (
        SELECT tenant, toString(iss) AS iss, sub, hour, groupUniqArrayIf(toString(server_id), type = 'mcp.tools.call') AS servers,
            toFloat64(multiIf({rule:String} = 'refusal_anomaly', sumIf(events, outcome = 'denied'), {rule:String} = 'tool_anomaly', uniqExact(server_id, tool_name),
                {rule:String} = 'fan_out_anomaly', uniqExact(server_id), sum(events))) AS number
        FROM activity_hourly
        WHERE tenant IN (SELECT tenant FROM young) AND type = 'mcp.tools.call'
            AND (tenant, hour) IN (SELECT tenant, arrayJoin(arrayFlatten(arrayMap(w -> [hour - toIntervalHour(168 * w - 1), hour - toIntervalHour(168 * w), hour - toIntervalHour(168 * w + 1)], range(1, {weeks:UInt32} + 1)))) FROM young)
        GROUP BY tenant, iss, sub, hour
    ),
    -- Peers are those who called one of the same servers around that hour of the week; each is one sample.
    peers AS MATERIALIZED (
        SELECT tenant, iss, sub, hour, groupArray(most) AS samples
        FROM (
            SELECT y.tenant AS tenant, y.iss AS iss, y.sub AS sub, y.hour AS hour, o.iss AS peer_iss, o.sub AS peer_sub, max(o.number) AS most
            FROM young AS y
            INNER JOIN others AS o ON o.tenant = y.tenant
            WHERE (o.iss, o.sub) != (y.iss, y.sub) AND hasAny(o.servers, y.servers) AND o.hour < y.hour - toIntervalHour(2) AND (dateDiff('hour', o.hour, y.hour) + 1) % 168 <= 2
            GROUP BY tenant, iss, sub, hour, peer_iss, peer_sub
        )
        GROUP BY tenant, iss, sub, hour
    ),
    weighed AS MATERIALIZED (
        SELECT o.tenant AS tenant, o.iss AS iss, o.sub AS sub, o.hour AS hour, o.servers AS servers, o.last_at AS last_at, o.firsts AS firsts, o.number AS number, o.since AS since,
            length(o.samples) >= {own_weeks:UInt32} AS by_own,
            if(by_own, o.samples, p.samples) AS base,
            arrayReduce('quantileExactInclusive(0.5)', base) AS middle,
            arrayReduce('quantileExactInclusive(0.5)', arrayMap(x -> abs(x - middle), base)) AS mad,
            middle + {times:UInt32} * greatest(1.4826 * mad, sqrt(middle), 1) AS most
        FROM own AS o
        LEFT JOIN peers AS p ON p.tenant = o.tenant AND p.iss = o.iss AND p.sub = o.sub AND p.hour = o.hour
        WHERE (by_own OR length(p.samples) >= {peers:UInt32}) AND o.number > most
    ),
    multiIf({rule:String} = 'refusal_anomaly', 'refused calls', {rule:String} = 'tool_anomaly', 'different tools', {rule:String} = 'fan_out_anomaly', 'different servers', 'calls') AS counted
SELECT
    tenant,
    [iss, sub, toString(toDate(hour))] AS subject_key,
    true AS violated,
    argMax(concat(sub, ': ', toString(number), ' ', counted, ' in the hour from ', formatDateTime(hour, '%F %H:%i'), ' UTC; ',
        if(by_own, concat(formatDateTime(hour, '%W'), 's around ', toString(toHour(hour)), 'h usually ', toString(arrayMin(base)), ' to ', toString(arrayMax(base))),
            concat(toString(length(base)), ' others at the same servers had ', toString(arrayMin(base)), ' to ', toString(arrayMax(base)), ' around that hour of the week')),
        ' (median ', toString(round(middle, 1)), ', MAD ', toString(round(mad, 1)), ')',
        if(by_own, concat(', ', toString(length(base)), ' weeks'), concat('; it is known for ', toString(dateDiff('day', since, hour)), ' days')),
        '; odd above ', toString(round(most, 1))), (number / most, hour)) AS summary,
    '' AS subject_sub,
    sub AS actor_sub,
    argMax(if(length(servers) = 1, servers[1], ''), (number / most, hour)) AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    arrayMap(x -> x.2, arraySlice(arraySort(groupArrayArray(arraySlice(firsts, 1, 100))), 1, 100)) AS evidence,
    min(firsts[1].1) AS first_seen,
    max(last_at) AS last_seen,
    'recorded' AS coverage,
    'every call that was stored is counted; the evidence is the first call of each tool and outcome. A time in which a source was not connected counts as quiet' AS coverage_note,
    CAST([], 'Array(String)') AS coverage_sources
FROM weighed
GROUP BY tenant, iss, sub, toDate(hour)
