-- Which tokens were used after they had been revoked? One row is one token.
WITH
    touched AS MATERIALIZED (
        SELECT DISTINCT tenant, token_ref AS ref
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND token_ref != '' AND NOT token_static
            AND (type = 'mcp.tools.call' AND outcome IN ('success', 'failure') OR type = 'credential.revoked')
    ),
    reports AS MATERIALIZED (
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM touched) AND kind = 'credential'
    ),
    revoked AS MATERIALIZED (
        SELECT tenant, token_ref AS ref, min(time) AS revoked_time, argMin(id, (time, id)) AS revocation, argMin(toString(source_id), (time, id)) AS source
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM reports) AND id IN (SELECT event_id FROM reports) AND type = 'credential.revoked'
        GROUP BY tenant, ref
    ),
    uses AS MATERIALIZED (
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM revoked) AND role = 'presented' AND kind = 'tool_invocation'
    )
SELECT
    e.tenant AS tenant,
    [e.token_ref] AS subject_key,
    true AS violated,
    concat(argMin(if(e.actor_sub != '', e.actor_sub, e.subject_sub), (e.time, e.id)), ' called ', argMin(e.tool_name, (e.time, e.id)), ' at ', argMin(e.server_id, (e.time, e.id)),
        ' with a token that had been revoked ', formatReadableTimeDelta(dateDiff('millisecond', any(r.revoked_time), min(e.time)) / 1000, 'days', 'seconds'), ' before') AS summary,
    argMin(e.subject_sub, (e.time, e.id)) AS subject_sub,
    argMin(e.actor_sub, (e.time, e.id)) AS actor_sub,
    argMin(toString(e.server_id), (e.time, e.id)) AS server_id,
    argMin(toString(e.tool_name), (e.time, e.id)) AS tool_name,
    e.token_ref AS token_ref,
    argMin(e.task_id, (e.time, e.id)) AS task_id,
    argMin(e.trace_id, (e.time, e.id)) AS trace_id,
    arrayMap(x -> toUUID(x), arrayPushBack(groupArraySorted(100)(toString(e.id)), toString(any(r.revocation)))) AS evidence,
    any(r.revoked_time) AS first_seen,
    max(e.time) AS last_seen,
    'recorded' AS coverage,
    concat(any(r.source), ' reported the revocation') AS coverage_note,
    [any(r.source)] AS coverage_sources
FROM events AS e
INNER JOIN revoked AS r ON r.tenant = e.tenant AND r.ref = e.token_ref
WHERE (e.tenant, toStartOfHour(e.time)) IN (SELECT tenant, hour FROM uses) AND e.id IN (SELECT event_id FROM uses)
    AND e.type = 'mcp.tools.call' AND e.outcome IN ('success', 'failure') AND NOT e.token_static
    AND e.time > r.revoked_time + toIntervalSecond({tolerance:UInt32})
GROUP BY e.tenant, e.token_ref
