-- Who did far more in an hour than it usually does in that hour of the week? One row is one identity and day; the rule's name says what is
-- counted: calls, refused calls, different tools or different servers.
WITH
    touched AS MATERIALIZED (
        SELECT toString(e.tenant) AS tenant, toString(if(actor_sub != '', actor_iss, subject_iss)) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
            greatest(toStartOfHour(min(e.time)), toDateTime('2000-01-01 00:00:00', 'UTC')) AS oldest, groupUniqArray(toUInt8((toDayOfWeek(e.time) - 1) * 24 + toHour(e.time))) AS week_hours
        FROM events AS e
        WHERE e.stored_time >= {from:DateTime64(6, 'UTC')} AND e.stored_time < {to:DateTime64(6, 'UTC')} AND e.type = 'mcp.tools.call' AND (actor_sub != '' OR subject_sub != '')
        GROUP BY tenant, iss, sub
    ),
    -- Which hours of the week are judged, from the day of its oldest new call on. A call that comes late is the past of later weeks, and
    -- changes all that is later if it is the first. A day that has a finding is judged whole, for the finding tells of all of it.
    judged AS MATERIALIZED (
        SELECT t.tenant AS tenant, t.iss AS iss, t.sub AS sub, toDate(t.oldest) AS from_day, s.since AS since, k.days AS days,
            arrayJoin(arrayDistinct(arrayConcat(
                multiIf(t.oldest >= {to:DateTime64(6, 'UTC')} - toIntervalDay(1), t.week_hours, s.since >= t.oldest, CAST(range(168), 'Array(UInt8)'),
                    arrayFlatten(arrayMap(h -> [toUInt8((h + 167) % 168), h, toUInt8((h + 1) % 168)], t.week_hours))),
                arrayFlatten(arrayMap(d -> CAST(range((toDayOfWeek(d) - 1) * 24, toDayOfWeek(d) * 24), 'Array(UInt8)'), arrayFilter(d -> d >= from_day, k.days)))))) AS at
        FROM touched AS t
        INNER JOIN (
            SELECT toString(f.tenant) AS tenant, toString(f.iss) AS iss, f.sub AS sub, toStartOfHour(min(f.first.1)) AS since
            FROM first_seen_states AS f
            WHERE (f.tenant, f.iss, f.sub) IN (SELECT tenant, iss, sub FROM touched) AND f.what = 'tool'
            GROUP BY tenant, iss, sub
        ) AS s ON s.tenant = t.tenant AND s.iss = t.iss AND s.sub = t.sub
        LEFT JOIN (
            SELECT toString(f.tenant) AS tenant, f.subject_key[1] AS iss, f.subject_key[2] AS sub, groupArray(toDate(f.subject_key[3])) AS days
            FROM findings AS f
            WHERE f.rule = {rule:String} AND f.status = 'open' AND (f.tenant, f.subject_key[1], f.subject_key[2]) IN (SELECT tenant, iss, sub FROM touched)
            GROUP BY tenant, iss, sub
        ) AS k ON k.tenant = t.tenant AND k.iss = t.iss AND k.sub = t.sub
    ),
    -- Most end here: what is little is never odd, and who is new has no past.
    loud AS MATERIALIZED (
        SELECT h.tenant AS tenant, h.iss AS iss, h.sub AS sub, h.at AS at, h.hour AS hour, h.number AS number, h.servers AS servers, h.last_at AS last_at, h.firsts AS firsts, j.since AS since, j.days AS days,
            j.since + toIntervalDay(7 * {own_weeks:UInt32}) > h.hour AS young
        FROM (
            SELECT toString(r.tenant) AS tenant, toString(r.iss) AS iss, r.sub AS sub, r.week_hour AS at, r.hour AS hour,
                groupUniqArray(toString(r.server_id)) AS servers, max(r.last_time) AS last_at, arraySlice(arraySort(groupArray(r.first)), 1, 100) AS firsts,
                toFloat64(multiIf({rule:String} = 'refusal_anomaly', sumIf(arraySum(mapValues(r.minutes)), r.outcome = 'denied'), {rule:String} = 'tool_anomaly', uniqExact(r.server_id, r.tool_name),
                {rule:String} = 'fan_out_anomaly', uniqExact(r.server_id), sum(arraySum(mapValues(r.minutes))))) AS number
            FROM rhythm_states AS r FINAL
            WHERE (r.tenant, r.week_hour, r.iss, r.sub) IN (SELECT tenant, at, iss, sub FROM judged) AND r.hour >= (SELECT toStartOfDay(min(oldest)) FROM touched)
            GROUP BY tenant, iss, sub, at, hour
            HAVING number >= {least:UInt32}
        ) AS h
        INNER JOIN judged AS j ON j.tenant = h.tenant AND j.iss = h.iss AND j.sub = h.sub AND j.at = h.at
        WHERE toDate(h.hour) >= j.from_day AND h.hour >= j.since + toIntervalDay({learning:UInt32})
    ),
    -- Each week is a sample: the busiest of the three hours around, for a shift by an hour, or the clock's change, is nothing odd.
    past AS MATERIALIZED (
        SELECT l.tenant AS tenant, l.iss AS iss, l.sub AS sub, l.hour AS hour, any(l.at) AS at, any(l.number) AS number, any(l.servers) AS servers, any(l.last_at) AS last_at, any(l.firsts) AS firsts,
            any(l.since) AS since, any(l.days) AS days, any(l.young) AS young, groupArray((p.hour, p.number)) AS near,
            arrayMap(w -> arrayMax(arrayMap(x -> if(abs(dateDiff('hour', x.1, hour) - 168 * w) <= 1, x.2, 0), near)), arrayFilter(w -> hour - toIntervalHour(168 * w) >= since, range(1, {weeks:UInt32} + 1))) AS samples
        FROM (
            SELECT toString(r.tenant) AS tenant, toString(r.iss) AS iss, r.sub AS sub, r.week_hour AS week_hour, r.hour AS hour,
                toFloat64(multiIf({rule:String} = 'refusal_anomaly', sumIf(arraySum(mapValues(r.minutes)), r.outcome = 'denied'), {rule:String} = 'tool_anomaly', uniqExact(r.server_id, r.tool_name),
                {rule:String} = 'fan_out_anomaly', uniqExact(r.server_id), sum(arraySum(mapValues(r.minutes))))) AS number
            FROM rhythm_states AS r FINAL
            WHERE (r.tenant, r.week_hour, r.iss, r.sub) IN (SELECT tenant, arrayJoin([toUInt8((at + 167) % 168), at, toUInt8((at + 1) % 168)]), iss, sub FROM loud)
                AND r.hour >= (SELECT toStartOfDay(min(oldest)) FROM touched) - toIntervalHour(168 * {weeks:UInt32} + 1)
            GROUP BY tenant, iss, sub, week_hour, hour
        ) AS p
        INNER JOIN (SELECT *, arrayJoin([toUInt8((at + 167) % 168), at, toUInt8((at + 1) % 168)]) AS week_hour FROM loud) AS l
            ON l.tenant = p.tenant AND l.iss = p.iss AND l.sub = p.sub AND l.week_hour = p.week_hour
        GROUP BY l.tenant, l.iss, l.sub, l.hour
    ),
    -- What others did around it, of whom a hundred at each server are enough.
    others AS MATERIALIZED (
        SELECT tenant, at, server, groupArray(((iss, sub), near)) AS peers
        FROM (
            SELECT tenant, iss, sub, at, arrayJoin(groupUniqArrayArray(servers)) AS server, groupArray((hour, number)) AS near
            FROM (
                SELECT toString(r.tenant) AS tenant, toString(r.iss) AS iss, r.sub AS sub, r.week_hour AS week_hour, r.hour AS hour, groupUniqArray(toString(r.server_id)) AS servers,
                    toFloat64(multiIf({rule:String} = 'refusal_anomaly', sumIf(arraySum(mapValues(r.minutes)), r.outcome = 'denied'), {rule:String} = 'tool_anomaly', uniqExact(r.server_id, r.tool_name),
                {rule:String} = 'fan_out_anomaly', uniqExact(r.server_id), sum(arraySum(mapValues(r.minutes))))) AS number
                FROM rhythm_states AS r FINAL
                WHERE (r.tenant, r.week_hour) IN (SELECT tenant, arrayJoin([toUInt8((at + 167) % 168), at, toUInt8((at + 1) % 168)]) FROM loud WHERE young)
                    AND r.hour >= (SELECT toStartOfDay(min(oldest)) FROM touched) - toIntervalHour(168 * {weeks:UInt32} + 1)
                GROUP BY tenant, iss, sub, week_hour, hour
            )
            ARRAY JOIN [toUInt8((week_hour + 167) % 168), week_hour, toUInt8((week_hour + 1) % 168)] AS at
            WHERE (tenant, at) IN (SELECT tenant, at FROM loud WHERE young)
            GROUP BY tenant, iss, sub, at
            ORDER BY sipHash64(iss, sub)
            LIMIT 100 BY tenant, at, server
        )
        GROUP BY tenant, at, server
    ),
    -- Who has few weeks is held against peers, each one sample by its busiest such hour, and against the weeks that it has.
    weighed AS MATERIALIZED (
        SELECT tenant, iss, sub, hour, number, servers, last_at, firsts, since, days, true AS by_own, CAST([], 'Array(Float64)') AS mine, samples
        FROM past
        WHERE NOT young
        UNION ALL
        SELECT y.tenant AS tenant, y.iss AS iss, y.sub AS sub, y.hour AS hour, any(y.number) AS number, any(y.servers) AS servers, any(y.last_at) AS last_at, any(y.firsts) AS firsts, any(y.since) AS since,
            any(y.days) AS days, false AS by_own, any(y.samples) AS mine,
            arrayMap(p -> arrayMax(arrayMap(x -> x.2, p.2)), arrayFilter(p -> notEmpty(p.2) AND p.1 != (iss, sub),
                arrayMap(p -> (p.1, arrayFilter(x -> x.1 < hour - toIntervalHour(2) AND x.1 >= hour - toIntervalHour(168 * {weeks:UInt32} + 1), p.2)), groupUniqArrayArray(o.peers)))) AS samples
        FROM (SELECT *, arrayJoin(servers) AS server FROM past WHERE young) AS y
        INNER JOIN others AS o ON o.tenant = y.tenant AND o.at = y.at AND o.server = y.server
        GROUP BY y.tenant, y.iss, y.sub, y.hour
        HAVING length(samples) >= {peers:UInt32}
    ),
    multiIf({rule:String} = 'refusal_anomaly', 'refused calls', {rule:String} = 'tool_anomaly', 'different tools', {rule:String} = 'fan_out_anomaly', 'different servers', 'calls') AS counted
SELECT
    tenant,
    [iss, sub, toString(toDate(hour))] AS subject_key,
    max(odd) AS violated,
    argMax(concat(sub, ': ', toString(number), ' ', counted, ' in the hour from ', formatDateTime(hour, '%F %H:%i'), ' UTC; ',
        if(by_own, concat(formatDateTime(hour, '%W'), 's around ', toString(toHour(hour)), 'h usually ', toString(arrayMin(samples)), ' to ', toString(arrayMax(samples))),
            concat(toString(length(samples)), ' others at the same servers had ', toString(arrayMin(samples)), ' to ', toString(arrayMax(samples)), ' around that hour of the week')),
        ' (median ', toString(round(middle, 1)), ', MAD ', toString(round(mad, 1)), ')',
        if(by_own, concat(', ', toString(length(samples)), ' weeks'), concat('; it is known for ', toString(dateDiff('day', since, hour)), ' days and had ', toString(arrayMin(mine)), ' to ', toString(arrayMax(mine)), ' itself')),
        if(odd, '; odd above ', '; that is usual, as calls say that came later: odd above '), toString(round(most, 1))), (number / most, hour)) AS summary,
    '' AS subject_sub,
    sub AS actor_sub,
    argMax(if(length(servers) = 1, servers[1], ''), (number / most, hour)) AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    arrayMap(x -> x.2, arraySlice(arraySort(groupArrayArrayIf(firsts, odd)), 1, 100)) AS evidence,
    minIf(firsts[1].1, odd) AS first_seen,
    maxIf(last_at, odd) AS last_seen,
    'recorded' AS coverage,
    'every call that was stored is counted; the evidence is the first call of each tool and outcome. A time in which a source was not connected counts as quiet' AS coverage_note,
    CAST([], 'Array(String)') AS coverage_sources
FROM (
    SELECT *,
        arrayReduce('quantileExactInclusive(0.5)', samples) AS middle,
        arrayReduce('quantileExactInclusive(0.5)', arrayMap(x -> abs(x - middle), samples)) AS mad,
        -- Who does what no peer does, and did so before, does nothing odd: a few weeks of its own speak too, as far as there are any. Of
        -- so few the distances from their median say nothing.
        arrayReduce('quantileExactInclusive(0.5)', mine) AS own_middle,
        greatest(middle + {times:UInt32} * greatest(1.4826 * mad, sqrt(middle * {together:UInt32}), 1),
            if(empty(mine), 0, own_middle + {times:UInt32} * greatest(sqrt(own_middle * {together:UInt32}), 1))) AS most,
        number > most AS odd
    FROM weighed
)
GROUP BY tenant, iss, sub, toDate(hour)
HAVING violated OR max(has(days, toDate(hour)))
