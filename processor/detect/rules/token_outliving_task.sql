-- Which tokens were used after their task had ended? One row is one token of one task.
WITH
    fresh AS MATERIALIZED (
        SELECT tenant, kind, task_id, token_ref
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND (type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_ref != '' AND NOT token_static OR kind = 'session' AND task_id != '')
    ),
    -- The end of a task may come after the calls that it makes late.
    touched AS MATERIALIZED (
        SELECT tenant, token_ref AS ref FROM fresh WHERE kind = 'tool_invocation'
        UNION DISTINCT
        SELECT tenant, arrayJoin([token_ref, exchange_issued_token_ref]) AS ref
        FROM events
        WHERE (tenant, task_id) IN (SELECT tenant, task_id FROM fresh WHERE kind = 'session') AND kind IN ('tool_invocation', 'token_exchange') AND ref != ''
    ),
    uses AS MATERIALIZED (
        SELECT tenant, ref, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM touched) AND (role = 'issued' OR kind = 'tool_invocation')
    ),
    facts AS MATERIALIZED (
        SELECT tenant, id, time, kind, task_id, if(kind = 'token_exchange', exchange_issued_token_ref, token_ref) AS ref,
            server_id, tool_name, subject_sub, actor_sub, trace_id
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM uses) AND id IN (SELECT event_id FROM uses)
            AND (type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND NOT token_static OR kind = 'token_exchange' AND outcome = 'success')
    ),
    tasks AS MATERIALIZED (
        SELECT DISTINCT tenant, ref, task_id AS task FROM facts WHERE task_id != ''
    ),
    calls AS MATERIALIZED (
        SELECT f.tenant AS tenant, f.ref AS ref, t.task AS task, f.id AS id, f.time AS time, toString(f.server_id) AS server, toString(f.tool_name) AS tool,
            f.subject_sub AS subject, f.actor_sub AS actor, f.trace_id AS trace, f.time - toIntervalMillisecond({tolerance:UInt32}) AS judged_time
        FROM facts AS f
        INNER JOIN tasks AS t ON t.tenant = f.tenant AND t.ref = f.ref
        WHERE f.kind = 'tool_invocation'
    ),
    sessions AS MATERIALIZED (
        SELECT tenant, task_id, time, toString(type) AS type, event_id, toString(source_id) AS source
        FROM task_sessions
        WHERE (tenant, task_id) IN (SELECT tenant, task FROM tasks)
    ),
    judged AS MATERIALIZED (
        SELECT c.*, s.type != 'session.started' AS late, s.time AS end_time, s.event_id AS end_id, s.source AS end_source
        FROM calls AS c
        ASOF INNER JOIN sessions AS s ON s.tenant = c.tenant AND s.task_id = c.task AND s.time < c.judged_time
    )
SELECT
    tenant,
    [ref, task] AS subject_key,
    countIf(late) > 0 AS violated,
    concat(if(actor_sub = '', subject_sub, actor_sub), ' called ', tool_name, ' at ', server_id, ' with a token of ', task,
        if(violated, concat(', which had ended ', formatReadableTimeDelta(dateDiff('millisecond', argMinIf(end_time, (time, id), late), minIf(time, late)) / 1000, 'days', 'milliseconds'), ' before'),
            ', which had not ended')) AS summary,
    argMin(subject, (NOT late, time, id)) AS subject_sub,
    argMin(actor, (NOT late, time, id)) AS actor_sub,
    argMin(server, (NOT late, time, id)) AS server_id,
    argMin(tool, (NOT late, time, id)) AS tool_name,
    ref AS token_ref,
    task AS task_id,
    argMin(trace, (NOT late, time, id)) AS trace_id,
    arrayMap(x -> toUUID(x), arrayConcat(groupArraySortedIf(100)(toString(id), late), arraySort(groupUniqArrayIf(10)(toString(end_id), late)))) AS evidence,
    if(violated, minIf(end_time, late), min(time)) AS first_seen,
    max(time) AS last_seen,
    'recorded' AS coverage,
    concat(arrayStringConcat(coverage_sources, ', '), ' reported the end of the task') AS coverage_note,
    arraySort(groupUniqArray(10)(end_source)) AS coverage_sources
FROM judged
GROUP BY tenant, ref, task
HAVING violated OR (tenant, [ref, task]) IN (SELECT tenant, subject_key FROM findings WHERE rule = 'token_outliving_task' AND status = 'open')
