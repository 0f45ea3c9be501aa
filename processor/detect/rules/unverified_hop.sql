-- Which servers carry out calls whose token failed its verification? One row is one server and reason.
SELECT
    e.tenant AS tenant,
    [toString(e.server_id), toString(e.token_verified)] AS subject_key,
    true AS violated,
    argMin(concat(e.server_id, ' carried out ', e.tool_name, ' for ', if(e.actor_sub != '', e.actor_sub, if(e.subject_sub != '', e.subject_sub, 'somebody')), if(e.actor_sub = '' OR e.subject_sub = '', '', concat(' on behalf of ', e.subject_sub)), ' although the verification of the token ', replaceRegexpOne(e.token_verified, '^failed:', 'failed: ')), (e.time, e.id)) AS summary,
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
    'the source verified the token and reported the call' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(e.source_id))) AS coverage_sources
FROM events AS e
WHERE e.stored_time >= {from:DateTime64(6, 'UTC')} AND e.stored_time < {to:DateTime64(6, 'UTC')}
    AND e.type = 'mcp.tools.call' AND e.outcome IN ('success', 'failure') AND startsWith(e.token_verified, 'failed:')
GROUP BY e.tenant, subject_key
