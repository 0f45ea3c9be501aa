-- Which exchanges gave a delegation to somebody whom the subject token's may_act does not name? One row is one exchange.
WITH
    touched AS MATERIALIZED (
        SELECT tenant, id, time, kind, token_ref, exchange_issued_token_ref AS issued, exchange_subject_token_ref AS parent
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND (kind = 'token_exchange' AND outcome = 'success' OR kind = 'credential' AND attributes['may_act'] != '')
    ),
    -- The exchanges that came, and those of which the subject token's issue came.
    found AS MATERIALIZED (
        SELECT tenant, id AS event_id, toStartOfHour(time) AS hour FROM touched WHERE kind = 'token_exchange'
        UNION DISTINCT
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_edges_by_parent
        WHERE (tenant, parent_ref) IN (SELECT tenant, if(kind = 'credential', token_ref, issued) FROM touched) AND parent_ref != '' AND role = 'subject'
    ),
    exchanges AS MATERIALIZED (
        SELECT tenant, id, time, attributes['may_act'] AS own, exchange_subject_token_ref AS parent, exchange_issued_token_ref AS issued, subject_sub, toString(actor_iss) AS iss, actor_sub, server_id, task_id, trace_id, source_id
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM found) AND id IN (SELECT event_id FROM found)
            AND kind = 'token_exchange' AND outcome = 'success' AND actor_sub != ''
    ),
    issues AS MATERIALIZED (
        SELECT tenant, event_id, ref, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, parent FROM exchanges WHERE own = '' AND parent != '') AND (role = 'issued' OR kind = 'credential')
    ),
    claims AS MATERIALIZED (
        SELECT e.tenant AS tenant, i.ref AS ref, argMin(e.attributes['may_act'], (e.time, e.id)) AS claim, argMin(e.id, (e.time, e.id)) AS event
        FROM events AS e
        INNER JOIN issues AS i ON i.tenant = e.tenant AND i.event_id = e.id
        WHERE (e.tenant, toStartOfHour(e.time)) IN (SELECT tenant, hour FROM issues) AND e.id IN (SELECT event_id FROM issues)
            -- What an exchange says is of its subject token, not of the one it issued.
            AND e.kind = 'credential' AND e.attributes['may_act'] != ''
        GROUP BY e.tenant, i.ref
    ),
    judged AS (
        SELECT e.*, if(e.own != '', e.own, c.claim) AS claim, if(e.own != '', [toString(e.id)], [toString(e.id), toString(c.event)]) AS evidence_ids,
            multiIf(startsWith(trimLeft(claim), '{'), [(JSONExtractString(claim, 'iss'), JSONExtractString(claim, 'sub'))],
                startsWith(trimLeft(claim), '['), arrayMap(x -> (JSONExtractString(x, 'iss'), JSONExtractString(x, 'sub')), JSONExtractArrayRaw(claim)),
                arrayMap(x -> ('', x), splitByWhitespace(claim))) AS named
        FROM exchanges AS e
        LEFT JOIN claims AS c ON c.tenant = e.tenant AND c.ref = e.parent
        WHERE claim != ''
    )
SELECT
    tenant,
    [toString(id)] AS subject_key,
    true AS violated,
    concat(actor_sub, ' was let act for ', if(subject_sub = '', 'somebody', subject_sub), ', whose token names ', if(empty(named), 'nobody', arrayStringConcat(arraySlice(arrayMap(n -> if(n.1 = '', n.2, concat(n.2, ' of ', n.1)), named), 1, 5), ', '))) AS summary,
    subject_sub,
    actor_sub,
    toString(judged.server_id) AS server_id,
    '' AS tool_name,
    issued AS token_ref,
    task_id,
    trace_id,
    arrayMap(x -> toUUID(x), evidence_ids) AS evidence,
    time AS first_seen,
    time AS last_seen,
    'recorded' AS coverage,
    concat(toString(source_id), ' reported the exchange, and the claim is on record') AS coverage_note,
    [toString(source_id)] AS coverage_sources
FROM judged
WHERE NOT arrayExists(n -> n.2 = actor_sub AND (n.1 = '' OR iss = '' OR n.1 = iss), named)
