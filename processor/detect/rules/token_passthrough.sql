-- Which tokens were accepted at a server that they were not issued for, and at another one too? One row is one token at one such server.
WITH
    touched AS MATERIALIZED (
        SELECT DISTINCT tenant, token_ref
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_ref != '' AND NOT token_static
    ),
    spread AS MATERIALIZED (
        SELECT tenant, ref
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, token_ref FROM touched) AND role = 'presented' AND kind = 'tool_invocation'
        GROUP BY tenant, ref
        HAVING uniqExact(server_id) > 1
    ),
    uses AS MATERIALIZED (
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM spread) AND role = 'presented' AND kind = 'tool_invocation'
    ),
    calls AS MATERIALIZED (
        SELECT tenant, id, time, token_ref, token_audience, server_id, server_uri, tool_name, subject_sub, actor_sub, task_id, trace_id
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM uses) AND id IN (SELECT event_id FROM uses)
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND NOT token_static
    ),
    tokens AS MATERIALIZED (
        SELECT tenant, token_ref, groupUniqArray(toString(server_id)) AS servers, argMin(toString(server_id), (time, id)) AS first_server,
            groupArray((id, time, toString(server_id))) AS used
        FROM calls
        GROUP BY tenant, token_ref
        HAVING length(servers) > 1
    )
SELECT
    c.tenant AS tenant,
    [c.token_ref, toString(c.server_id)] AS subject_key,
    true AS violated,
    concat(any(c.server_id), ' accepted a token',
        if(empty(any(c.token_audience)), '', concat(' issued for ', arrayStringConcat(arrayMap(x -> toString(x), any(c.token_audience)), ', '))),
        ' that was also used at ', arrayStringConcat(arraySort(arrayFilter(s -> s != any(c.server_id), any(t.servers))), ', ')) AS summary,
    any(c.subject_sub) AS subject_sub,
    any(c.actor_sub) AS actor_sub,
    toString(c.server_id) AS server_id,
    argMin(toString(c.tool_name), (c.time, c.id)) AS tool_name,
    c.token_ref AS token_ref,
    argMin(c.task_id, (c.time, c.id)) AS task_id,
    argMin(c.trace_id, (c.time, c.id)) AS trace_id,
    arrayMap(u -> u.1, any(t.used)) AS evidence,
    arrayMin(u -> u.2, any(t.used)) AS first_seen,
    arrayMax(u -> u.2, any(t.used)) AS last_seen,
    'recorded' AS coverage,
    'both uses are on record' AS coverage_note,
    CAST([], 'Array(String)') AS coverage_sources
FROM calls AS c
INNER JOIN tokens AS t ON t.tenant = c.tenant AND t.token_ref = c.token_ref
WHERE if(empty(c.token_audience), toString(c.server_id) != t.first_server, NOT has(c.token_audience, c.server_uri) AND NOT has(c.token_audience, c.server_id))
GROUP BY c.tenant, c.token_ref, c.server_id
