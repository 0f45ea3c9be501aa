-- Which delegation chains come back to an actor that they have left? One row is one chain of actors.
SELECT
    e.tenant AS tenant,
    [arrayStringConcat(arrayReverse(arrayCompact(arrayMap((s, i) -> if(i = '', s, concat(s, '@', i)), e.chain_sub, arrayMap(i -> toString(i), e.chain_iss)))), ' -> ')] AS subject_key,
    true AS violated,
    argMin(concat('a delegation', if(e.subject_sub = '', '', concat(' of ', e.subject_sub)), ' comes back to an actor that it had left: ', arrayStringConcat(arrayReverse(e.chain_sub), ' -> ')), (e.time, e.id)) AS summary,
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
    'the chain of the token names its actors' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(e.source_id))) AS coverage_sources
FROM events AS e
WHERE e.stored_time >= {from:DateTime64(6, 'UTC')} AND e.stored_time < {to:DateTime64(6, 'UTC')}
    AND e.kind IN ('tool_invocation', 'token_exchange') AND e.chain_malformed = '' AND length(e.chain_sub) > 2
    AND length(arrayDistinct(arrayCompact(arrayMap((s, i) -> if(i = '', s, concat(s, '@', i)), e.chain_sub, arrayMap(i -> toString(i), e.chain_iss))))) < length(arrayCompact(arrayMap((s, i) -> if(i = '', s, concat(s, '@', i)), e.chain_sub, arrayMap(i -> toString(i), e.chain_iss)))) -- somebody twice in a row exchanged a token of its own, which is no way back
GROUP BY e.tenant, subject_key
