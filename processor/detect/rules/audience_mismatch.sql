-- Which servers accepted a token that was issued for another audience, and was used nowhere else? One row is one token at one server.
WITH
    touched AS MATERIALIZED (
        SELECT DISTINCT tenant, token_ref AS ref
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_ref != '' AND NOT token_static
            AND (token_audience_check = 'mismatch' OR (tenant, token_ref) IN (SELECT tenant, subject_key[1] FROM findings WHERE rule = 'audience_mismatch' AND status = 'open'))
    ),
    uses AS MATERIALIZED (
        SELECT tenant, ref, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM touched) AND role = 'presented' AND kind = 'tool_invocation'
    ),
    calls AS MATERIALIZED (
        SELECT tenant, id, time, token_ref, token_audience, toString(server_id) AS server, tool_name, subject_sub, actor_sub, task_id, trace_id, source_id,
            token_audience_check = 'mismatch' AS wrong
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM uses) AND id IN (SELECT event_id FROM uses)
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND NOT token_static
    ),
    -- At two servers it is token_passthrough.
    tokens AS MATERIALIZED (
        SELECT tenant, token_ref, uniqExact(server) AS servers
        FROM calls
        GROUP BY tenant, token_ref
    )
SELECT
    c.tenant AS tenant,
    [c.token_ref, c.server] AS subject_key,
    any(t.servers) = 1 AS violated,
    concat(c.server, ' accepted a token issued for ', arrayStringConcat(arrayMap(x -> toString(x), argMin(c.token_audience, (c.time, c.id))), ', '),
        if(violated, concat(' from ', argMin(if(c.actor_sub != '', c.actor_sub, if(c.subject_sub != '', c.subject_sub, 'somebody')), (c.time, c.id))), '; token_passthrough tells of it, since it was used at another server too')) AS summary,
    argMin(c.subject_sub, (c.time, c.id)) AS subject_sub,
    argMin(c.actor_sub, (c.time, c.id)) AS actor_sub,
    c.server AS server_id,
    argMin(toString(c.tool_name), (c.time, c.id)) AS tool_name,
    c.token_ref AS token_ref,
    argMin(c.task_id, (c.time, c.id)) AS task_id,
    argMin(c.trace_id, (c.time, c.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(c.id))) AS evidence,
    min(c.time) AS first_seen,
    max(c.time) AS last_seen,
    'recorded' AS coverage,
    'the server reported the token''s audience; what it accepts is from the event and the registry' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(c.source_id))) AS coverage_sources
FROM calls AS c
INNER JOIN tokens AS t ON t.tenant = c.tenant AND t.token_ref = c.token_ref
WHERE c.wrong
GROUP BY c.tenant, c.token_ref, c.server
