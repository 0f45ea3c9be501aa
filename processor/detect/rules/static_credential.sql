-- Which static credentials were used or found? One row is one credential.
WITH
    touched AS MATERIALIZED (
        SELECT tenant, id, time, kind, type, token_ref, server_id, tool_name, subject_sub, actor_sub, task_id, trace_id, source_id,
            -- A secret that had to be dropped has no reference; whose it is and where it works is what is left of it.
            if(token_ref != '', [token_ref], ['', subject_sub, toString(server_id)]) AS credential
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND (token_static AND (type IN ('mcp.tools.call', 'credential.static') AND outcome IN ('success', 'failure')) OR type = 'credential.revoked' AND token_ref != '')
    ),
    reports AS MATERIALIZED (
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, token_ref FROM touched WHERE token_ref != '') AND kind = 'credential'
    ),
    revoked AS MATERIALIZED (
        SELECT tenant, token_ref, max(time) AS revoked_time, groupUniqArray(id) AS revocations
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM reports) AND id IN (SELECT event_id FROM reports) AND type = 'credential.revoked'
        GROUP BY tenant, token_ref
    ),
    -- A use that came before this window and after the revocation keeps the finding open.
    known AS MATERIALIZED (
        SELECT tenant, subject_key, last_seen
        FROM findings
        WHERE rule = 'static_credential' AND (tenant, subject_key) IN (SELECT tenant, credential FROM touched)
    )
SELECT
    t.tenant AS tenant,
    t.credential AS subject_key,
    greatest(maxIf(t.time, t.type != 'credential.revoked'), any(k.last_seen)) > any(r.revoked_time) AS violated,
    concat(if(subject_sub = '', 'somebody', subject_sub), if(countIf(t.type = 'mcp.tools.call') > 0, ' uses', ' has'), ' a static credential',
        if(server_id = '', '', concat(' at ', server_id))) AS summary,
    argMin(t.subject_sub, (t.time, t.id)) AS subject_sub,
    argMin(t.actor_sub, (t.time, t.id)) AS actor_sub,
    argMin(toString(t.server_id), (t.time, t.id)) AS server_id,
    argMin(toString(t.tool_name), (t.tool_name = '', t.time, t.id)) AS tool_name,
    any(t.token_ref) AS token_ref,
    argMin(t.task_id, (t.time, t.id)) AS task_id,
    argMin(t.trace_id, (t.time, t.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(t.id))) AS evidence,
    min(t.time) AS first_seen,
    max(t.time) AS last_seen,
    'recorded' AS coverage,
    'the sources say that it is static' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(t.source_id))) AS coverage_sources
FROM touched AS t
LEFT JOIN revoked AS r ON r.tenant = t.tenant AND r.token_ref = t.token_ref
LEFT JOIN known AS k ON k.tenant = t.tenant AND k.subject_key = t.credential
GROUP BY t.tenant, t.credential
HAVING countIf(t.type != 'credential.revoked') > 0 OR any(notEmpty(k.subject_key))
