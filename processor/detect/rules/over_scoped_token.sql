-- Whose tokens carry scopes that it does not use? One row is one identity at a server whose finding does not say so yet, or says what is
-- not so any more.
WITH
    known AS MATERIALIZED (
        SELECT toString(tenant) AS tenant, subject_key, summary, toString(kept.subject_sub) AS subject_sub, toString(kept.actor_sub) AS actor_sub, toString(kept.server_id) AS server_id, first_seen, last_seen
        FROM findings AS kept
        WHERE rule = 'over_scoped_token' AND status = 'open'
    ),
    covered AS MATERIALIZED (
        SELECT tenant, server_id, min(first_time) AS calls_first, max(last_time) AS calls_last
        FROM coverage_states
        WHERE kind = 'tool_invocation'
        GROUP BY tenant, server_id
    ),
    carried AS (
        SELECT toString(p.tenant) AS tenant, [toString(p.iss), p.sub, p.server_id] AS key, p.type = 'human' AS person, p.name AS name,
            p.granted_first AS granted_first, p.granted_last AS granted_last, p.granted_event AS granted_event, c.calls_first AS calls_first,
            {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32}) AS since,
            p.used_last >= since AS used,
            p.granted_first <= since AND p.granted_last >= since AND p.removed < p.granted_last
                AND NOT used AND p.maybe_last < since
                AND c.calls_first <= since AND c.calls_last >= since AS unused
        FROM privileges AS p
        LEFT JOIN covered AS c ON c.tenant = p.tenant AND c.server_id = p.server_id
        WHERE p.kind = 'scope' AND hasAny(p.how, ['token', 'exchange'])
    ),
    held AS MATERIALIZED (
        SELECT tenant, key, any(person) AS person,
            countIf(unused) >= greatest({scopes:UInt32}, 1) AS too_many,
            min(granted_first) AS first_granted,
            max(granted_last) AS last_granted,
            arraySlice(arraySort(groupArrayIf((granted_first, granted_event), unused)), 1, 100).2 AS evidence,
            min(calls_first) AS calls_seen,
            arraySort(groupArrayIf(name, unused)) AS idle,
            arraySort(groupArrayIf(name, used)) AS busy,
            concat('tokens of ', key[2], if(key[3] = '', '', concat(' for ', key[3])), ' carry ', toString(length(idle)), if(length(idle) = 1, ' scope', ' scopes'), ' that it does not use: ',
                arrayStringConcat(arraySlice(idle, 1, 20), ', '), if(length(idle) > 20, ' and others', ''),
                if(empty(busy), '', concat('; it uses ', arrayStringConcat(arraySlice(busy, 1, 20), ', '), if(length(busy) > 20, ' and others', '')))) AS said
        FROM carried
        GROUP BY tenant, key
        HAVING too_many OR (tenant, key) IN (SELECT tenant, subject_key FROM known)
    )
SELECT
    tenant,
    key AS subject_key,
    too_many AS violated,
    if(too_many, said, concat('no token of ', key[2], if(key[3] = '', '', concat(' for ', key[3])), ' carries a scope that it does not use')) AS summary,
    if(person, key[2], '') AS subject_sub,
    if(person, '', key[2]) AS actor_sub,
    key[3] AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    evidence,
    first_granted AS first_seen,
    last_granted AS last_seen,
    'absence' AS coverage,
    concat('calls of the server are seen since ', toString(toDate(calls_seen))) AS coverage_note,
    []::Array(String) AS coverage_sources
FROM held
WHERE NOT too_many OR (tenant, key, said) NOT IN (SELECT tenant, subject_key, summary FROM known)
UNION ALL
-- A server that became known by another name: its tokens are kept under that.
SELECT tenant, subject_key, false, concat('tokens of ', subject_key[2], ' are kept under another name of the server'), subject_sub, actor_sub, server_id, '', '', '', '',
    []::Array(UUID), first_seen, last_seen, 'absence', 'as before', []::Array(String)
FROM known
WHERE (tenant, subject_key) NOT IN (SELECT tenant, key FROM held)
