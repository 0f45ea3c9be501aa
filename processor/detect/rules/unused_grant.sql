-- Which grants does nobody use? One row is one grant whose finding does not say so yet, or says what is not so any more.
WITH
    known AS MATERIALIZED (
        SELECT toString(tenant) AS tenant, subject_key, summary, toString(kept.subject_sub) AS subject_sub, toString(kept.actor_sub) AS actor_sub, toString(kept.server_id) AS server_id, toString(kept.tool_name) AS tool_name, first_seen, last_seen
        FROM findings AS kept
        WHERE rule = 'unused_grant' AND status = 'open'
    ),
    covered AS MATERIALIZED (
        SELECT tenant, server_id, min(first_time) AS calls_first, max(last_time) AS calls_last
        FROM coverage_states
        WHERE kind = 'tool_invocation'
        GROUP BY tenant, server_id
    ),
    held AS MATERIALIZED (
        SELECT toString(p.tenant) AS tenant, [toString(p.iss), p.sub, p.server_id, p.kind, p.name] AS key, p.type = 'human' AS person,
            p.granted_first AS granted_first, p.granted_last AS granted_last, p.used_last AS used_last, p.granted_event AS granted_event, p.used_event AS used_event, c.calls_first AS calls_first,
            {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32}) AS since,
            (hasAny(p.how, ['grant', 'credential', 'decision']) OR {offered:Bool} AND has(p.how, 'offered'))
                AND p.granted_first <= since AND p.granted_last >= since AND p.removed < p.granted_last
                AND p.used_last < since AND p.maybe_last < since
                AND c.calls_first <= since AND c.calls_last >= since AS unused,
            concat(p.sub, ' has the ', p.kind, ' ', p.name, if(p.server_id = '', '', concat(' at ', p.server_id)),
                if(year(p.used_last) = 1970, ' and never used it', concat(' and used it last on ', toString(toDate(p.used_last)))),
                '; granted since ', toString(toDate(p.granted_first))) AS said
        FROM privileges AS p
        LEFT JOIN covered AS c ON c.tenant = p.tenant AND c.server_id = p.server_id
        WHERE unused OR (tenant, key) IN (SELECT tenant, subject_key FROM known)
    )
SELECT
    tenant,
    key AS subject_key,
    unused AS violated,
    multiIf(unused, said, used_last >= since, concat(key[2], ' used the ', key[4], ' ', key[5], ' again'),
        concat(key[2], ' does not have the ', key[4], ' ', key[5], ' any more, or may have used it')) AS summary,
    if(person, key[2], '') AS subject_sub,
    if(person, '', key[2]) AS actor_sub,
    key[3] AS server_id,
    if(key[4] = 'tool', key[5], '') AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    arrayFilter(e -> e != toUUID('00000000-0000-0000-0000-000000000000'), [granted_event, used_event]) AS evidence,
    granted_first AS first_seen,
    granted_last AS last_seen,
    'absence' AS coverage,
    concat('calls of the server are seen since ', toString(toDate(calls_first))) AS coverage_note,
    []::Array(String) AS coverage_sources
FROM held
WHERE NOT unused OR (tenant, key, said) NOT IN (SELECT tenant, subject_key, summary FROM known)
UNION ALL
-- A server that became known by another name: its grants are kept under that.
SELECT tenant, subject_key, false, concat(subject_key[2], ' has it at a server of another name'), subject_sub, actor_sub, server_id, tool_name, '', '', '',
    []::Array(UUID), first_seen, last_seen, 'absence', 'as before', []::Array(String)
FROM known
WHERE (tenant, subject_key) NOT IN (SELECT tenant, key FROM held)
