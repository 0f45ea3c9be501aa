-- Whose tokens carry scopes that it does not use? One row is one identity at a server whose finding does not say so yet, or says what is
-- not so any more. Looked at are those of whom the pass wrote since what is new was stored; from 1970 on, all.
WITH
    {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32}) AS since,
    {from:DateTime64(6, 'UTC')} <= toDateTime64(0, 6, 'UTC') AS whole,
    touched AS (
        SELECT DISTINCT toString(tenant) AS tenant, toString(iss) AS iss, sub
        FROM privilege_states
        WHERE taken_time >= {from:DateTime64(6, 'UTC')}
    ),
    known AS (
        SELECT toString(kept.tenant) AS tenant, subject_key, summary, toString(kept.subject_sub) AS subject_sub, toString(kept.actor_sub) AS actor_sub, toString(kept.server_id) AS server_id, first_seen, last_seen
        FROM findings AS kept
        WHERE rule = 'over_scoped_token' AND status = 'open' AND (whole OR (kept.tenant, subject_key[1], subject_key[2]) IN (SELECT tenant, iss, sub FROM touched))
    ),
    held AS (
        SELECT toString(p.tenant) AS tenant, [toString(p.iss), p.sub, p.server_id] AS key, any(p.type = 'human') AS person,
            countIf(p.unused) >= greatest({scopes:UInt32}, 1) AS too_many,
            min(p.granted_first) AS first_granted,
            max(p.granted_last) AS last_granted,
            arraySlice(arraySort(groupArrayIf((p.granted_first, p.granted_event), p.unused)), 1, 100).2 AS evidence,
            min(p.calls_first) AS calls_seen,
            arraySort(groupArrayIf(p.name, p.unused)) AS idle,
            arraySort(groupArrayIf(p.name, p.used_last >= since)) AS busy,
            concat('tokens of ', key[2], if(key[3] = '', '', concat(' for ', key[3])), ' carry ', toString(length(idle)), if(length(idle) = 1, ' scope', ' scopes'), ' that it does not use: ',
                arrayStringConcat(arraySlice(idle, 1, 20), ', '), if(length(idle) > 20, ' and others', ''),
                if(empty(busy), '', concat('; it uses ', arrayStringConcat(arraySlice(busy, 1, 20), ', '), if(length(busy) > 20, ' and others', '')))) AS said
        FROM judged_privileges(since = {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32}), judged = {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32})) AS p
        WHERE p.kind = 'scope' AND hasAny(p.how, ['token', 'exchange']) AND (whole OR (p.tenant, p.iss, p.sub) IN (SELECT tenant, iss, sub FROM touched))
        GROUP BY tenant, key
        HAVING too_many OR (tenant, key) IN (SELECT tenant, subject_key FROM known)
    )
SELECT
    if(h.tenant != '', h.tenant, k.tenant) AS tenant,
    if(h.tenant != '', h.key, k.subject_key) AS subject_key,
    h.too_many AS violated,
    multiIf(h.too_many, h.said,
        h.tenant = '', concat('tokens of ', k.subject_key[2], ' are kept under another name of the server'),
        concat('no token of ', h.key[2], if(h.key[3] = '', '', concat(' for ', h.key[3])), ' carries a scope that it does not use')) AS summary,
    multiIf(h.tenant = '', k.subject_sub, h.person, h.key[2], '') AS subject_sub,
    multiIf(h.tenant = '', k.actor_sub, h.person, '', h.key[2]) AS actor_sub,
    if(h.tenant = '', k.server_id, h.key[3]) AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    h.evidence AS evidence,
    if(h.tenant = '', k.first_seen, h.first_granted) AS first_seen,
    if(h.tenant = '', k.last_seen, h.last_granted) AS last_seen,
    'absence' AS coverage,
    if(h.tenant = '', 'as before', concat('calls of the server are seen since ', toString(toDate(h.calls_seen)))) AS coverage_note,
    []::Array(String) AS coverage_sources
FROM held AS h
FULL JOIN known AS k ON k.tenant = h.tenant AND k.subject_key = h.key
WHERE if(h.too_many, k.tenant = '' OR k.summary != h.said, k.tenant != '')
