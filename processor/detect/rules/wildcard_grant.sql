-- Who was given a scope that stands for all others? One row is one holder, scope and server or audience.
WITH
    touched AS MATERIALIZED (
        SELECT tenant, id, time, source_id, type = 'grant.removed' AS removed, subject_sub, actor_sub, server_id, tool_name, task_id, trace_id,
            if(kind = 'token_exchange', exchange_issued_token_ref, token_ref) AS ref,
            arrayJoin(arrayFilter(s -> match(s, {pattern:String}), arrayMap(s -> toString(s), if(kind = 'token_exchange', if(empty(exchange_granted_scope), exchange_requested_scope, exchange_granted_scope), token_scope)))) AS scope,
            [toString(if(actor_sub != '', actor_iss, subject_iss)), if(actor_sub != '', actor_sub, subject_sub), scope,
                if(server_id != '', toString(server_id), arrayStringConcat(arraySort(arrayMap(a -> toString(a), if(kind = 'token_exchange', exchange_requested_audience, token_audience))), ' '))] AS key
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND NOT exchange_cached
            AND (kind = 'token_exchange' AND outcome = 'success' OR type IN ('credential.issued', 'grant.listed', 'grant.changed', 'grant.removed'))
    ),
    -- A removal may have come before what it removes.
    removals AS MATERIALIZED (
        SELECT tenant, max(time) AS removed_time, arrayJoin(token_scope) AS scope,
            [toString(if(actor_sub != '', actor_iss, subject_iss)), if(actor_sub != '', actor_sub, subject_sub), toString(scope),
                if(server_id != '', toString(server_id), arrayStringConcat(arraySort(arrayMap(a -> toString(a), token_audience)), ' '))] AS key
        FROM events
        WHERE tenant IN (SELECT tenant FROM touched) AND toStartOfHour(time) >= (SELECT min(toStartOfHour(time)) FROM touched) AND type = 'grant.removed'
        GROUP BY tenant, scope, key
        HAVING (tenant, key) IN (SELECT tenant, key FROM touched)
    ),
    -- A grant that came before this window and after its removal keeps the finding open.
    known AS MATERIALIZED (
        SELECT tenant, subject_key, toString(status) AS status, last_seen
        FROM findings
        WHERE rule = 'wildcard_grant' AND (tenant, subject_key) IN (SELECT tenant, key FROM touched)
    )
SELECT
    t.tenant AS tenant,
    t.key AS subject_key,
    greatest(maxIf(t.time, NOT t.removed), if(any(k.status) = 'open', any(k.last_seen), toDateTime64(0, 6, 'UTC')))
        > greatest(maxIf(t.time, t.removed), any(r.removed_time), if(any(k.status) = 'auto_resolved', any(k.last_seen), toDateTime64(0, 6, 'UTC'))) AS violated,
    concat(t.key[2], if(violated, ' has', ' no longer has'), ' the scope ', t.key[3], if(t.key[4] = '', '', concat(' at ', t.key[4]))) AS summary,
    argMin(t.subject_sub, (t.removed, t.time, t.id)) AS subject_sub,
    argMin(t.actor_sub, (t.removed, t.time, t.id)) AS actor_sub,
    argMin(toString(t.server_id), (t.removed, t.time, t.id)) AS server_id,
    argMin(toString(t.tool_name), (t.removed, t.time, t.id)) AS tool_name,
    argMin(t.ref, (t.removed, t.time, t.id)) AS token_ref,
    argMin(t.task_id, (t.removed, t.time, t.id)) AS task_id,
    argMin(t.trace_id, (t.removed, t.time, t.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(t.id))) AS evidence,
    min(t.time) AS first_seen,
    max(t.time) AS last_seen,
    'recorded' AS coverage,
    'the scope is as it was granted or listed' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(t.source_id))) AS coverage_sources
FROM touched AS t
LEFT JOIN removals AS r ON r.tenant = t.tenant AND r.key = t.key
LEFT JOIN known AS k ON k.tenant = t.tenant AND k.subject_key = t.key
GROUP BY t.tenant, t.key
HAVING countIf(NOT t.removed) > 0 OR any(k.status) = 'open'
