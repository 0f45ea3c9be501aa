-- Which identities that have settled were seen with something new? One row is one thing of one identity; the rule's name says of which kind.
WITH
    substring({rule:String}, 5) AS kind,
    -- Whatever was first seen from the oldest event of an identity on may look different now: the events come in any order.
    touched AS MATERIALIZED (
        SELECT toString(e.tenant) AS tenant, toString(if(actor_sub != '', actor_iss, subject_iss)) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub, min(e.time) AS oldest
        FROM events AS e
        WHERE e.stored_time >= {from:DateTime64(6, 'UTC')} AND e.stored_time < {to:DateTime64(6, 'UTC')} AND (actor_sub != '' OR subject_sub != '')
        GROUP BY tenant, iss, sub
    ),
    judged AS (
        SELECT s.tenant AS tenant, s.iss AS iss, s.sub AS sub, s.since AS since, arrayJoin(arrayFilter(x -> x.1 >= t.oldest, s.things)) AS thing,
            arrayCount(x -> x.1 < thing.1, s.things) AS others,
            -- What was new within the day before belongs to the same novelty and does not excuse it; what came on one day is one.
            length(arrayDistinct(arrayMap(x -> toDate(x.1), arrayFilter(x -> x.1 < thing.1 - toIntervalDay(1) AND x.1 >= thing.1 - toIntervalDay({quiet:UInt32}) AND x.1 >= s.since + toIntervalDay(1), s.things)))) AS news,
            arrayMax(arrayMap(x -> x.1, arrayFilter(x -> x.1 < thing.1, s.things))) AS newest,
            kind = 'tool' AND arrayExists(v -> v.1 = thing.2[1] AND v.2 > thing.1 - toIntervalDay(1), s.servers) AS said, -- a new server says it
            others > 0 AND NOT said AND thing.1 >= s.since + toIntervalDay({learning:UInt32}) AND news <= {news:UInt32} AS odd
        FROM touched AS t
        INNER JOIN (
            SELECT toString(f.tenant) AS tenant, toString(f.iss) AS iss, f.sub AS sub, min(f.first_time) AS since,
                arraySort(groupArrayIf((f.first_time, f.object, toString(f.first_event_id), f.last_time), toString(f.what) = kind)) AS things,
                groupArrayIf((f.object[1], f.first_time), f.what = 'server') AS servers
            FROM first_seen AS f
            WHERE (f.tenant, f.iss, f.sub) IN (SELECT tenant, iss, sub FROM touched)
            GROUP BY tenant, iss, sub
        ) AS s ON s.tenant = t.tenant AND s.iss = t.iss AND s.sub = t.sub
    )
SELECT
    tenant,
    arrayConcat([iss, sub], thing.2) AS subject_key,
    odd AS violated,
    concat(sub,
        multiIf(kind = 'tool', concat(' called ', thing.2[2], if(thing.2[1] = '', '', concat(' at ', thing.2[1]))),
            kind = 'server', concat(' called ', thing.2[1]),
            kind = 'client', concat(' came through ', if(thing.2[2] != '', thing.2[2], thing.2[1])),
            kind = 'path', concat(' acted through ', arrayStringConcat(thing.2, ' -> ')),
            concat(' used or asked for a token for ', thing.2[1])),
        if(odd, concat(' for the first time; it has been known for ', toString(dateDiff('day', since, thing.1)), ' days, with ', toString(others), ' other',
                multiIf(kind = 'path', ' path', kind = 'audience', ' audience', kind = 'server', ' server', kind = 'client', ' client', ' tool'), if(others = 1, '', 's'),
                ', the newest since ', toString(dateDiff('day', newest, thing.1)), ' days; ', if(news = 0, 'none was', concat('others were on ', toString(news), if(news = 1, ' day', ' days'))), ' new in the ', toString({quiet:UInt32}), ' days before'),
            ', which is nothing new or nothing odd, as older events say')) AS summary,
    '' AS subject_sub,
    sub AS actor_sub,
    if(kind IN ('tool', 'server'), thing.2[1], '') AS server_id,
    if(kind = 'tool', thing.2[2], '') AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    [toUUID(thing.3)] AS evidence,
    thing.1 AS first_seen,
    greatest(thing.4, thing.1) AS last_seen,
    'absence' AS coverage,
    concat('all that is stored of ', sub, ' since ', formatDateTime(since, '%F'), ' was looked at; refused attempts count') AS coverage_note,
    CAST([], 'Array(String)') AS coverage_sources
FROM judged
WHERE odd OR (tenant, subject_key) IN (
    SELECT toString(f.tenant), f.subject_key FROM findings AS f
    WHERE f.rule = {rule:String} AND f.status = 'open' AND (f.tenant, f.subject_key[1], f.subject_key[2]) IN (SELECT tenant, iss, sub FROM touched)
)
