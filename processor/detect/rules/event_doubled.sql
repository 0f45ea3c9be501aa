-- Which events are shown twice? One row is one id that two records were stored with, both as events and with the same content.
WITH
    fresh AS MATERIALIZED (
        SELECT tenant, id, time, toStartOfHour(time) AS hour
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    ),
    -- The first 48 bits of an id are its event's time in milliseconds: the parts of the table that are older are not read.
    twice AS MATERIALIZED (
        SELECT id
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT DISTINCT tenant, hour FROM fresh)
            AND time >= (SELECT min(time) FROM fresh) - INTERVAL 1 MILLISECOND AND time <= (SELECT max(time) FROM fresh) + INTERVAL 1 MILLISECOND
            AND id IN (SELECT id FROM fresh)
        GROUP BY id
        HAVING count() > 1
    )
SELECT
    tenant,
    [toString(id)] AS subject_key,
    true AS violated,
    concat('an event of ', any(source_id), ' is shown ', toString(count()), ' times') AS summary,
    any(subject_sub) AS subject_sub,
    any(actor_sub) AS actor_sub,
    any(toString(server_id)) AS server_id,
    any(toString(tool_name)) AS tool_name,
    any(token_ref) AS token_ref,
    any(task_id) AS task_id,
    any(trace_id) AS trace_id,
    [id] AS evidence,
    min(time) AS first_seen,
    min(time) AS last_seen,
    'recorded' AS coverage,
    concat('content ', lower(hex(content_hash)), ' lies in ', arrayStringConcat(arraySort(groupArray(10)(
        concat('partition ', toString(partition), ' at offset ', toString(offset), ' of epoch ', epoch))), ' and in ')) AS coverage_note,
    [any(toString(source_id))] AS coverage_sources
FROM events
WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM fresh WHERE id IN (SELECT id FROM twice)) AND id IN (SELECT id FROM twice)
GROUP BY tenant, id, content_hash
HAVING count() > 1
