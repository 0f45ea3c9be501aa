-- Which tokens were presented by more than one actor, as one source tells it? One row is one token at one source.
WITH
    touched AS MATERIALIZED (
        SELECT DISTINCT tenant, token_ref AS ref
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_ref != '' AND actor_sub != '' AND NOT token_static
    ),
    uses AS MATERIALIZED (
        SELECT tenant, ref, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM touched) AND role = 'presented' AND kind = 'tool_invocation'
    )
SELECT
    e.tenant AS tenant,
    [e.token_ref, toString(e.source_id)] AS subject_key,
    true AS violated,
    concat('one token', if(argMin(e.subject_sub, (e.time, e.id)) = '', '', concat(' of ', argMin(e.subject_sub, (e.time, e.id)))), ' was presented by ', arrayStringConcat(arraySort(groupUniqArray(10)(e.actor_sub)), ' and ')) AS summary,
    argMin(e.subject_sub, (e.time, e.id)) AS subject_sub,
    argMin(e.actor_sub, (e.time, e.id)) AS actor_sub,
    argMin(toString(e.server_id), (e.time, e.id)) AS server_id,
    argMin(toString(e.tool_name), (e.time, e.id)) AS tool_name,
    e.token_ref AS token_ref,
    argMin(e.task_id, (e.time, e.id)) AS task_id,
    argMin(e.trace_id, (e.time, e.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(e.id))) AS evidence,
    min(e.time) AS first_seen,
    max(e.time) AS last_seen,
    'recorded' AS coverage,
    concat(e.source_id, ' named both actors') AS coverage_note,
    [toString(e.source_id)] AS coverage_sources
FROM events AS e
WHERE (e.tenant, toStartOfHour(e.time)) IN (SELECT tenant, hour FROM uses) AND e.id IN (SELECT event_id FROM uses)
    AND e.type = 'mcp.tools.call' AND e.outcome IN ('success', 'failure') AND e.actor_sub != '' AND NOT e.token_static
GROUP BY e.tenant, e.token_ref, e.source_id
HAVING uniqExact(e.actor_sub) > 1
