-- Which sources leave out links of delegation chains? One row is one source and server.
SELECT
    e.tenant AS tenant,
    [toString(e.source_id), toString(e.server_id)] AS subject_key,
    true AS violated,
    argMin(concat(e.source_id, ' leaves out links of delegation chains', if(e.server_id = '', '', concat(' at ', e.server_id)), ': after ', toString(length(e.chain_sub)), ' of ', if(e.subject_sub = '', 'somebody', e.subject_sub)), (e.time, e.id)) AS summary,
    argMin(e.subject_sub, (e.time, e.id)) AS subject_sub,
    argMin(e.actor_sub, (e.time, e.id)) AS actor_sub,
    argMin(toString(e.server_id), (e.time, e.id)) AS server_id,
    argMin(toString(e.tool_name), (e.time, e.id)) AS tool_name,
    argMin(e.token_ref, (e.time, e.id)) AS token_ref,
    argMin(e.task_id, (e.time, e.id)) AS task_id,
    argMin(e.trace_id, (e.time, e.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(e.id))) AS evidence,
    min(e.time) AS first_seen,
    max(e.time) AS last_seen,
    'recorded' AS coverage,
    'the source says that it left links out' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(e.source_id))) AS coverage_sources
FROM events AS e
WHERE e.stored_time >= {from:DateTime64(6, 'UTC')} AND e.stored_time < {to:DateTime64(6, 'UTC')}
    AND e.chain_truncated
GROUP BY e.tenant, subject_key
