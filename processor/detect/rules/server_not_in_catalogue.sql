-- Which servers carry out calls and are not registered, where there is a registry? One row is one server.
WITH
    touched AS MATERIALIZED (
        SELECT tenant, id, time, [toString(server_id)] AS key, server_lifecycle = '' AND server_owner = '' AS missing,
            subject_sub, actor_sub, server_id, tool_name, task_id, trace_id, registry_version, source_id
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND server_id != '' AND registry_version != ''
    ),
    known AS MATERIALIZED (
        SELECT tenant, subject_key, toString(status) AS status, last_seen
        FROM findings
        WHERE rule = 'server_not_in_catalogue' AND (tenant, subject_key) IN (SELECT tenant, key FROM touched)
    )
SELECT
    t.tenant AS tenant,
    t.key AS subject_key,
    -- The newest event says how it is now. What comes late and is older than what resolved a finding opens it no more.
    greatest(maxIf(t.time, t.missing), if(any(k.status) = 'open', any(k.last_seen), toDateTime64(0, 6, 'UTC')))
        > greatest(maxIf(t.time, NOT t.missing), if(any(k.status) = 'auto_resolved', any(k.last_seen), toDateTime64(0, 6, 'UTC'))) AS violated,
    if(violated, concat(t.key[1], ' carries out calls and is not in the catalogue'), concat(t.key[1], ' is in the catalogue now')) AS summary,
    argMin(t.subject_sub, (NOT t.missing, t.time, t.id)) AS subject_sub,
    argMin(t.actor_sub, (NOT t.missing, t.time, t.id)) AS actor_sub,
    argMin(toString(t.server_id), (NOT t.missing, t.time, t.id)) AS server_id,
    argMin(toString(t.tool_name), (NOT t.missing, t.time, t.id)) AS tool_name,
    '' AS token_ref,
    argMin(t.task_id, (NOT t.missing, t.time, t.id)) AS task_id,
    argMin(t.trace_id, (NOT t.missing, t.time, t.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySortedIf(100)(toString(t.id), t.missing)) AS evidence,
    min(t.time) AS first_seen,
    max(t.time) AS last_seen,
    'recorded' AS coverage,
    concat('the tenant has a registry; at that time it was of version ', argMin(toString(t.registry_version), (NOT t.missing, t.time, t.id))) AS coverage_note,
    arraySort(groupUniqArray(10)(toString(t.source_id))) AS coverage_sources
FROM touched AS t
LEFT JOIN known AS k ON k.tenant = t.tenant AND k.subject_key = t.key
GROUP BY t.tenant, t.key
HAVING countIf(t.missing) > 0 OR any(k.status) = 'open'
