-- Which grants does nobody use? One row is one grant whose finding does not say so yet, or says what is not so any more. Looked at are
-- those of whom the pass wrote since what is new was stored; from 1970 on, all.
WITH
    {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32}) AS since,
    {from:DateTime64(6, 'UTC')} <= toDateTime64(0, 6, 'UTC') AS whole,
    touched AS (
        SELECT DISTINCT toString(tenant) AS tenant, toString(iss) AS iss, sub
        FROM privilege_states
        WHERE taken_time >= {from:DateTime64(6, 'UTC')}
    ),
    known AS (
        SELECT toString(kept.tenant) AS tenant, subject_key, summary, toString(kept.subject_sub) AS subject_sub, toString(kept.actor_sub) AS actor_sub, toString(kept.server_id) AS server_id, toString(kept.tool_name) AS tool_name, first_seen, last_seen
        FROM findings AS kept
        WHERE rule = 'unused_grant' AND status = 'open' AND (whole OR (kept.tenant, subject_key[1], subject_key[2]) IN (SELECT tenant, iss, sub FROM touched))
    ),
    held AS (
        SELECT toString(p.tenant) AS tenant, [toString(p.iss), p.sub, p.server_id, p.kind, p.name] AS key, p.type = 'human' AS person,
            p.granted_first AS granted_first, p.granted_last AS granted_last, p.used_last AS used_last, p.granted_event AS granted_event, p.used_event AS used_event, p.calls_first AS calls_first,
            p.unused AND (hasAny(p.how, ['grant', 'credential', 'decision']) OR {offered:Bool} AND has(p.how, 'offered')) AS told,
            concat(p.sub, ' has the ', p.kind, ' ', p.name, if(p.server_id = '', '', concat(' at ', p.server_id)),
                if(year(p.used_last) = 1970, ' and never used it', concat(' and used it last on ', toString(toDate(p.used_last)))),
                '; granted since ', toString(toDate(p.granted_first))) AS said
        FROM judged_privileges(since = {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32}), judged = {to:DateTime64(6, 'UTC')} - toIntervalDay({window_days:UInt32})) AS p
        WHERE (whole OR (p.tenant, p.iss, p.sub) IN (SELECT tenant, iss, sub FROM touched)) AND (told OR (tenant, key) IN (SELECT tenant, subject_key FROM known))
    )
SELECT
    if(h.tenant != '', h.tenant, k.tenant) AS tenant,
    if(h.tenant != '', h.key, k.subject_key) AS subject_key,
    h.told AS violated,
    multiIf(h.told, h.said,
        h.tenant = '', concat(k.subject_key[2], ' has it at a server of another name'),
        h.used_last >= since, concat(h.key[2], ' used the ', h.key[4], ' ', h.key[5], ' again'),
        concat(h.key[2], ' does not have the ', h.key[4], ' ', h.key[5], ' any more, or may have used it')) AS summary,
    multiIf(h.tenant = '', k.subject_sub, h.person, h.key[2], '') AS subject_sub,
    multiIf(h.tenant = '', k.actor_sub, h.person, '', h.key[2]) AS actor_sub,
    if(h.tenant = '', k.server_id, h.key[3]) AS server_id,
    multiIf(h.tenant = '', k.tool_name, h.key[4] = 'tool', h.key[5], '') AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    arrayFilter(e -> e != toUUID('00000000-0000-0000-0000-000000000000'), [h.granted_event, h.used_event]) AS evidence,
    if(h.tenant = '', k.first_seen, h.granted_first) AS first_seen,
    if(h.tenant = '', k.last_seen, h.granted_last) AS last_seen,
    'absence' AS coverage,
    if(h.tenant = '', 'as before', concat('calls of the server are seen since ', toString(toDate(h.calls_first)))) AS coverage_note,
    []::Array(String) AS coverage_sources
FROM held AS h
FULL JOIN known AS k ON k.tenant = h.tenant AND k.subject_key = h.key
WHERE if(h.told, k.tenant = '' OR k.summary != h.said, k.tenant != '')
