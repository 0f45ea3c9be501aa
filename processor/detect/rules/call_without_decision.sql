-- Which calls were carried out without a decision at a server that a decision source covers? One row is one call.
WITH
    -- Calls that are new, and those whose finding is open: a decision may have come since.
    judged AS MATERIALIZED (
        SELECT tenant, id, time, server_id, tool_name, token_ref, subject_sub, actor_sub, task_id, trace_id, correlation_decision_id AS named, false AS known
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure')
        UNION ALL
        SELECT tenant, id, time, server_id, tool_name, token_ref, subject_sub, actor_sub, task_id, trace_id, correlation_decision_id AS named, true AS known
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(first_seen) FROM findings WHERE rule = 'call_without_decision' AND status = 'open')
            AND (tenant, toString(id)) IN (SELECT tenant, subject_key[1] FROM findings WHERE rule = 'call_without_decision' AND status = 'open')
    ),
    hours AS MATERIALIZED (
        SELECT DISTINCT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) AS hour
        FROM judged
    ),
    decisions AS MATERIALIZED (
        SELECT tenant, join_key, time, jsonrpc_id, toString(decision_effect) AS effect, named_decision_id AS named
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND kind = 'permission_decision'
    ),
    -- An engine that failed, has no policy for it or answers with a condition has not decided.
    answered AS MATERIALIZED (
        SELECT c.tenant AS tenant, c.id AS id, countIf(d.effect IN ('allow', 'deny')) > 0 AS decided, arraySort(groupUniqArray(d.effect)) AS effects
        FROM decision_joins AS c
        INNER JOIN decisions AS d ON d.tenant = c.tenant AND d.join_key = c.join_key
        WHERE (c.tenant, toStartOfHour(c.time)) IN (SELECT tenant, hour FROM hours) AND c.type = 'mcp.tools.call' AND (c.tenant, c.id) IN (SELECT tenant, id FROM judged)
            AND (c.join_key.1 != 'trace only' OR c.jsonrpc_id = '' OR d.jsonrpc_id = '')
            AND (c.named_decision_id = '' OR d.named = '' OR c.named_decision_id = d.named) -- the caller says which one, and it is another
            AND (c.join_key.1 = 'decision' OR abs(dateDiff('millisecond', c.time, d.time)) <= 1000 * {window:UInt32})
        GROUP BY c.tenant, c.id
    ),
    signs AS MATERIALIZED (
        SELECT tenant, source_id, server_id, time
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND kind = 'permission_decision'
            AND NOT decision_inferred -- who reports denials only, covers nothing
            AND decision_effect != 'not_applicable' -- nor does who has no policy for the server
    ),
    -- The last decision about the server before the call names the source that covers it.
    heard_before AS MATERIALIZED (
        SELECT j.*, s.source_id AS source, s.time AS before_time
        FROM (SELECT *, time + toIntervalSecond({edge:UInt32}) AS latest FROM judged) AS j
        ASOF INNER JOIN signs AS s ON s.tenant = j.tenant AND s.server_id = j.server_id AND s.time <= j.latest
        WHERE s.time >= j.time - toIntervalSecond({reach:UInt32})
    ),
    covered AS MATERIALIZED (
        SELECT j.tenant AS tenant, j.id AS id, toString(j.source) AS source, j.before_time AS before_time, s.time AS after_time
        FROM (SELECT *, time - toIntervalSecond({edge:UInt32}) AS earliest FROM heard_before) AS j
        ASOF INNER JOIN signs AS s ON s.tenant = j.tenant AND s.source_id = j.source AND s.time >= j.earliest
        WHERE s.time <= j.time + toIntervalSecond({reach:UInt32})
    )
SELECT
    j.tenant AS tenant,
    [toString(j.id)] AS subject_key,
    NOT max(a.decided) AS violated,
    concat(any(j.server_id), ' carried out ', any(j.tool_name), if(any(j.actor_sub) = '', '', concat(' for ', any(j.actor_sub))),
        if(any(j.subject_sub) = '', '', concat(' on behalf of ', any(j.subject_sub))),
        multiIf(NOT violated, '; the decision came later', notEmpty(any(a.effects)), concat(' and nobody decided: the answer was ', arrayStringConcat(any(a.effects), ' and ')),
            any(j.named) = '', ' and nobody decided', ' and names a decision that no source reported')) AS summary,
    any(j.subject_sub) AS subject_sub,
    any(j.actor_sub) AS actor_sub,
    toString(any(j.server_id)) AS server_id,
    toString(any(j.tool_name)) AS tool_name,
    any(j.token_ref) AS token_ref,
    any(j.task_id) AS task_id,
    any(j.trace_id) AS trace_id,
    [j.id] AS evidence,
    any(j.time) AS first_seen,
    any(j.time) AS last_seen,
    'absence' AS coverage,
    concat(any(c.source), ' decided about ', any(j.server_id), ' at ', toString(any(c.before_time)), ' and was heard of at ', toString(any(c.after_time))) AS coverage_note,
    [any(c.source)] AS coverage_sources
FROM judged AS j
LEFT JOIN covered AS c ON c.tenant = j.tenant AND c.id = j.id
LEFT JOIN answered AS a ON a.tenant = j.tenant AND a.id = j.id
GROUP BY j.tenant, j.id
HAVING if(violated, any(c.source) != '', max(j.known))
