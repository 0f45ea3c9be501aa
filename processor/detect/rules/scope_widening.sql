-- Which exchanges granted a scope that the subject token did not have? One row is one issued token.
WITH
    fresh AS MATERIALIZED (
        SELECT tenant, id, toStartOfHour(time) AS hour, kind, type, outcome, token_ref, exchange_issued_token_ref
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND (kind = 'token_exchange' AND outcome = 'success' OR type = 'credential.issued')
    ),
    -- What is known of a subject token may come after the exchange that used it.
    touched AS MATERIALIZED (
        SELECT tenant, id, hour FROM fresh WHERE kind = 'token_exchange'
        UNION DISTINCT
        SELECT tenant, event_id AS id, toStartOfHour(time) AS hour
        FROM token_edges_by_parent
        WHERE role = 'subject'
            AND (tenant, parent_ref) IN (SELECT tenant, if(kind = 'credential', token_ref, exchange_issued_token_ref) FROM fresh)
    ),
    exchanges AS MATERIALIZED (
        SELECT tenant, id, time, subject_sub, actor_sub, server_id, task_id, trace_id, source_id, exchange_step_up,
            exchange_subject_token_ref AS parent_ref, exchange_issued_token_ref AS issued_ref,
            if(empty(exchange_granted_scope), exchange_requested_scope, exchange_granted_scope) AS granted,
            if(notEmpty(exchange_subject_scope), exchange_subject_scope, if(token_ref != '' AND token_ref = exchange_subject_token_ref, token_scope, [])) AS said
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM touched) AND id IN (SELECT id FROM touched)
            AND kind = 'token_exchange' AND outcome = 'success'
    ),
    issues AS MATERIALIZED (
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, parent_ref FROM exchanges WHERE empty(said)) AND (role = 'issued' OR kind = 'credential')
    ),
    issued AS MATERIALIZED (
        SELECT tenant, if(kind = 'credential', token_ref, exchange_issued_token_ref) AS ref,
            argMin(if(kind = 'credential', token_scope, exchange_granted_scope), (time, id)) AS held, argMin(id, (time, id)) AS issue_id, min(time) AS issue_time
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM issues) AND id IN (SELECT event_id FROM issues)
            AND (kind = 'token_exchange' AND outcome = 'success' OR type = 'credential.issued')
        GROUP BY tenant, ref
    ),
    judged AS MATERIALIZED (
        SELECT x.*, i.issue_id, i.issue_time, notEmpty(x.said) AS reported, if(reported, x.said, i.held) AS subject_scope,
            arrayFilter(s -> NOT has(subject_scope, s), x.granted) AS extra
        FROM exchanges AS x
        LEFT JOIN issued AS i ON i.tenant = x.tenant AND i.ref = x.parent_ref
        WHERE notEmpty(subject_scope) AND notEmpty(extra) AND ({judge_step_up:Bool} OR NOT x.exchange_step_up)
    )
SELECT
    tenant,
    [if(issued_ref = '', toString(id), issued_ref)] AS subject_key,
    true AS violated,
    concat(if(actor_sub = '', 'a client', actor_sub), ' got ', arrayStringConcat(arrayMap(s -> toString(s), extra), ' '), ' by exchanging a token of ', subject_sub,
        ' that had only ', arrayStringConcat(arrayMap(s -> toString(s), subject_scope), ' ')) AS summary,
    subject_sub,
    actor_sub,
    toString(server_id) AS server_id,
    '' AS tool_name,
    issued_ref AS token_ref,
    task_id,
    trace_id,
    if(reported, [id], [issue_id, id]) AS evidence,
    if(reported, time, least(issue_time, time)) AS first_seen,
    time AS last_seen,
    'recorded' AS coverage,
    if(reported, concat(source_id, ' reported both scopes'), 'the scope of the subject token is from the event of its issue') AS coverage_note,
    [toString(source_id)] AS coverage_sources
FROM judged
