-- Which principals act, or are acted for, after they were suspended or retired? One row is one principal.
SELECT
    tenant,
    [iss, sub] AS subject_key,
    true AS violated,
    argMin(concat(sub, ' is ', lifecycle, if(acts, '', ' and was acted for'), if(server = '', ' and got a token', concat(if(acts, ' and called ', ': '), tool, ' at ', server))), (time, id)) AS summary,
    argMin(subject, (time, id)) AS subject_sub,
    argMin(actor, (time, id)) AS actor_sub,
    argMin(server, (time, id)) AS server_id,
    argMin(tool, (time, id)) AS tool_name,
    argMin(ref, (time, id)) AS token_ref,
    argMin(task, (time, id)) AS task_id,
    argMin(trace, (time, id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(id))) AS evidence,
    min(time) AS first_seen,
    max(time) AS last_seen,
    'recorded' AS coverage,
    argMin(concat('lifecycle at that time by version ', version, ' of the registry'), (time, id)) AS coverage_note,
    arraySort(groupUniqArray(10)(source)) AS coverage_sources
FROM
(
    SELECT tenant, id, time, toString(source_id) AS source, subject_sub AS subject, actor_sub AS actor, toString(registry_version) AS version,
        if(kind = 'token_exchange', '', toString(server_id)) AS server, toString(tool_name) AS tool, if(kind = 'token_exchange', exchange_issued_token_ref, token_ref) AS ref,
        task_id AS task, trace_id AS trace, who.1 AS iss, who.2 AS sub, who.3 AS lifecycle, who.4 AS acts
    FROM events
    ARRAY JOIN arrayFilter(w -> w.3 IN ('suspended', 'retired'), [
        (toString(subject_iss), subject_sub, toString(subject_lifecycle), actor_sub = ''), (toString(actor_iss), actor_sub, toString(actor_lifecycle), true)]) AS who
    WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
        AND (type = 'mcp.tools.call' AND outcome IN ('success', 'failure') OR kind = 'token_exchange' AND outcome = 'success')
)
GROUP BY tenant, iss, sub
