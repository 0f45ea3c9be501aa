-- Who gets tokens by exchange that outlive those they were made from? One row is one actor at one server or audience.
SELECT
    e.tenant AS tenant,
    [toString(e.actor_iss), if(e.actor_sub != '', e.actor_sub, e.client_id), if(e.server_id != '', toString(e.server_id), arrayStringConcat(arraySort(arrayMap(a -> toString(a), e.exchange_requested_audience)), ' '))] AS subject_key,
    true AS violated,
    argMin(concat(if(e.actor_sub != '', e.actor_sub, 'a client'), ' got a token that outlives the one of ', if(e.subject_sub = '', 'its subject', e.subject_sub), ' by ',
        formatReadableTimeDelta(e.exchange_outlives_seconds), if(e.server_id = '', '', concat(', for ', e.server_id))), (e.time, e.id)) AS summary,
    argMin(e.subject_sub, (e.time, e.id)) AS subject_sub,
    argMin(e.actor_sub, (e.time, e.id)) AS actor_sub,
    argMin(toString(e.server_id), (e.time, e.id)) AS server_id,
    argMin(toString(e.tool_name), (e.time, e.id)) AS tool_name,
    argMin(e.exchange_issued_token_ref, (e.time, e.id)) AS token_ref,
    argMin(e.task_id, (e.time, e.id)) AS task_id,
    argMin(e.trace_id, (e.time, e.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(e.id))) AS evidence,
    min(e.time) AS first_seen,
    max(e.time) AS last_seen,
    'recorded' AS coverage,
    'the exchange reported the lifetime of both tokens' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(e.source_id))) AS coverage_sources
FROM events AS e
WHERE e.stored_time >= {from:DateTime64(6, 'UTC')} AND e.stored_time < {to:DateTime64(6, 'UTC')}
    AND e.kind = 'token_exchange' AND e.outcome = 'success' AND NOT e.exchange_cached AND e.exchange_outlives_seconds > {tolerance:UInt32}
GROUP BY e.tenant, subject_key
