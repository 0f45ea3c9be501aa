-- Which sources have been silent for longer than they ever were? One row is one source.
WITH
    -- What was stored later has not been taken in, so nothing can be said about its absence.
    (SELECT least(max(watermark), {to:DateTime64(6, 'UTC')}) FROM pass_progress WHERE pass = 'verdict') AS as_of,
    told AS MATERIALIZED (
        SELECT tenant, subject_key[1] AS source, last_seen FROM findings WHERE rule = 'emitter_silent' AND status = 'open'
    ),
    heard AS MATERIALIZED (
        SELECT tenant, toString(source_id) AS source, min(first_time) AS began, max(last_time) AS ended
        FROM coverage_states
        WHERE hour >= as_of - toIntervalDay({history:UInt32})
        GROUP BY tenant, source, hour
    ),
    rhythms AS MATERIALIZED (
        SELECT tenant, source, arraySort(groupArray((began, ended))) AS times, count() AS hours, min(began) AS first_time, max(ended) AS last_time,
            arrayMax(arrayPushBack(arrayMap((a, b) -> dateDiff('second', a.2, b.1), arrayPopBack(times), arrayPopFront(times)), 0)) AS longest
        FROM heard
        GROUP BY tenant, source
    ),
    judged AS MATERIALIZED (
        SELECT r.*, t.source != '' AS open,
            r.hours >= {hours:UInt32} AND r.first_time <= r.last_time - toIntervalDay({learning:UInt32})
                AND dateDiff('second', r.last_time, as_of) > greatest({silence:UInt32}, {factor:UInt32} * r.longest) AS silent
        FROM rhythms AS r
        LEFT JOIN told AS t ON t.tenant = r.tenant AND t.source = r.source
        -- One that was told is looked at again when it was heard of.
        WHERE if(open, r.last_time > t.last_seen, silent)
    ),
    others AS MATERIALIZED (
        SELECT tenant, groupArray((source, last_time)) AS of_tenant FROM rhythms WHERE (tenant) IN (SELECT tenant FROM judged) GROUP BY tenant
    ),
    ends AS MATERIALIZED (
        SELECT tenant, toString(source_id) AS source, max((time, id)) AS event, argMax(toString(server_id), (time, id)) AS server
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(last_time) FROM judged) AND (tenant, source_id, time) IN (SELECT tenant, source, last_time FROM judged)
        GROUP BY tenant, source
    )
SELECT
    j.tenant AS tenant,
    [j.source] AS subject_key,
    j.silent AS violated,
    if(j.silent, concat(j.source, ' has not been heard of since ', toString(toDateTime(j.last_time)), '; in the ', toString(dateDiff('day', j.first_time, j.last_time)),
        ' days before it never paused for longer than ', formatReadableTimeDelta(greatest(j.longest, 3600), 'days', 'minutes')), concat(j.source, ' was heard of again')) AS summary,
    '' AS subject_sub,
    '' AS actor_sub,
    e.server AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    if(e.source = '', [], [e.event.2]) AS evidence,
    j.last_time AS first_seen,
    j.last_time AS last_seen,
    'absence' AS coverage,
    concat('heard of in ', toString(j.hours), ' hours; of ', toString(length(o.of_tenant) - 1), ' other sources of the tenant ',
        toString(arrayCount(x -> x.1 != j.source AND x.2 > j.last_time + toIntervalSecond({silence:UInt32}), o.of_tenant)), ' were heard of later') AS coverage_note,
    [j.source] AS coverage_sources
FROM judged AS j
LEFT JOIN ends AS e ON e.tenant = j.tenant AND e.source = j.source
LEFT JOIN others AS o ON o.tenant = j.tenant
