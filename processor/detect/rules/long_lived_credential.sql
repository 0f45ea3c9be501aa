-- Who holds tokens that live for longer than is meant? One row is one holder and issuer.
SELECT
    e.tenant AS tenant,
    [toString(if(e.actor_sub != '', e.actor_iss, e.subject_iss)), if(e.actor_sub != '', e.actor_sub, e.subject_sub), toString(if(e.token_iss != '', e.token_iss, e.subject_iss))] AS subject_key,
    true AS violated,
    argMin(concat(if(e.actor_sub != '', e.actor_sub, if(e.subject_sub != '', e.subject_sub, 'somebody')), if(e.actor_sub = '' OR e.subject_sub = '', '', concat(' on behalf of ', e.subject_sub)), ' has a token that lives for ', formatReadableTimeDelta(multiIf(e.kind = 'token_exchange', toInt64(e.exchange_expires_in), e.token_lifetime_seconds)), if(e.server_id = '', '', concat(', at ', e.server_id))), (e.time, e.id)) AS summary,
    argMin(e.subject_sub, (e.time, e.id)) AS subject_sub,
    argMin(e.actor_sub, (e.time, e.id)) AS actor_sub,
    argMin(toString(e.server_id), (e.time, e.id)) AS server_id,
    argMin(toString(e.tool_name), (e.time, e.id)) AS tool_name,
    argMin(if(e.kind = 'token_exchange', e.exchange_issued_token_ref, e.token_ref), (e.time, e.id)) AS token_ref,
    argMin(e.task_id, (e.time, e.id)) AS task_id,
    argMin(e.trace_id, (e.time, e.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(e.id))) AS evidence,
    min(e.time) AS first_seen,
    max(e.time) AS last_seen,
    'recorded' AS coverage,
    'the source reported when the token was issued and when it expires' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(e.source_id))) AS coverage_sources
FROM events AS e
WHERE e.stored_time >= {from:DateTime64(6, 'UTC')} AND e.stored_time < {to:DateTime64(6, 'UTC')}
    AND NOT e.token_static AND NOT e.exchange_cached AND multiIf(e.kind = 'token_exchange', toInt64(e.exchange_expires_in), e.token_lifetime_seconds) > {lifetime:UInt32}
    AND (e.kind = 'token_exchange' AND e.outcome = 'success' OR e.type IN ('credential.issued', 'credential.rotated') OR e.type = 'mcp.tools.call' AND e.outcome IN ('success', 'failure'))
GROUP BY e.tenant, subject_key
