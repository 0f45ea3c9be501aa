-- Which calls were carried out although the last decision about them was deny? One row is one call.
WITH
    hours AS MATERIALIZED (
        SELECT DISTINCT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) AS hour
        FROM decision_keys
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    ),
    denials AS MATERIALIZED (
        SELECT DISTINCT join_key.2 AS key, join_key.1 = 'trace only' AND jsonrpc_id != '' AS numbered
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND kind = 'permission_decision' AND decision_effect = 'deny'
    ),
    suspects AS MATERIALIZED (
        SELECT tenant, id, toStartOfHour(time) AS hour
        FROM decision_keys
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure')
            AND (trace_only_key IN (SELECT key FROM denials WHERE NOT numbered) OR jsonrpc_id = '' AND trace_only_key IN (SELECT key FROM denials) OR trace_key IN (SELECT key FROM denials) OR token_key IN (SELECT key FROM denials) OR decision_key IN (SELECT key FROM denials))
    ),
    -- By all their keys, for an allow may share another one than the deny.
    calls AS MATERIALIZED (
        SELECT tenant, join_key, id, time, stored_time, jsonrpc_id, tool_duration_ms, named_decision_id AS named
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM suspects) AND id IN (SELECT id FROM suspects) AND type = 'mcp.tools.call'
    ),
    answers AS MATERIALIZED (
        SELECT id
        FROM decision_keys
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND kind = 'permission_decision' AND decision_effect IN ('allow', 'deny')
            AND (trace_only_key IN (SELECT join_key.2 FROM calls) OR trace_key IN (SELECT join_key.2 FROM calls) OR token_key IN (SELECT join_key.2 FROM calls) OR decision_key IN (SELECT join_key.2 FROM calls))
    ),
    decisions AS MATERIALIZED (
        SELECT tenant, join_key, id, time, stored_time, jsonrpc_id, source_id, toString(decision_effect) AS effect, named_decision_id AS named
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND kind = 'permission_decision'
            AND decision_effect IN ('allow', 'deny') -- what answers neither does not lift a deny
            AND id IN (SELECT id FROM answers)
    ),
    -- A client numbers its requests on each connection anew, so another request with the same token may have the same number: where
    -- a decision is of the call's trace or the one that it names, only such count.
    judged AS MATERIALIZED (
        SELECT c.tenant AS tenant, c.id AS call_id, max(c.join_key.1 != 'token') AS known,
            if(known, argMaxIf(d.effect, (d.time, d.id), c.join_key.1 != 'token'), argMax(d.effect, (d.time, d.id))) = 'deny' AS violated,
            if(known, groupUniqArrayIf(d.id, c.join_key.1 != 'token'), groupUniqArray(d.id)) AS decision_ids,
            if(known, minIf(d.time, c.join_key.1 != 'token'), min(d.time)) AS decided_first, if(known, maxIf(d.time, c.join_key.1 != 'token'), max(d.time)) AS decided_last,
            if(known, groupUniqArrayIf(toString(d.source_id), c.join_key.1 != 'token'), groupUniqArray(toString(d.source_id))) AS sources
        FROM calls AS c
        INNER JOIN decisions AS d ON d.tenant = c.tenant AND d.join_key = c.join_key
        WHERE (c.join_key.1 != 'trace only' OR c.jsonrpc_id = '' OR d.jsonrpc_id = '')
            AND (c.named = '' OR d.named = '' OR c.named = d.named) -- the caller says which one, and it is another
            AND d.time >= c.time - toIntervalSecond({window:UInt32})
            AND d.time <= c.time + toIntervalMillisecond(c.tool_duration_ms) + toIntervalSecond({skew:UInt32})
        GROUP BY c.tenant, c.id
        HAVING countIf(d.effect = 'deny') > 0 AND greatest(max(c.stored_time), max(d.stored_time)) >= {from:DateTime64(6, 'UTC')}
    )
SELECT
    tenant,
    [toString(j.call_id)] AS subject_key,
    j.violated AS violated,
    concat(e.server_id, ' carried out ', e.tool_name, if(e.actor_sub = '', '', concat(' for ', e.actor_sub)), if(e.subject_sub = '', '', concat(' on behalf of ', e.subject_sub)),
        if(j.violated, concat(' although ', arrayStringConcat(j.sources, ', '), ' denied it'), ' after it was denied and then allowed')) AS summary,
    e.subject_sub AS subject_sub,
    e.actor_sub AS actor_sub,
    toString(e.server_id) AS server_id,
    toString(e.tool_name) AS tool_name,
    e.token_ref AS token_ref,
    e.task_id AS task_id,
    e.trace_id AS trace_id,
    arrayPushBack(j.decision_ids, e.id) AS evidence,
    least(j.decided_first, e.time) AS first_seen,
    greatest(j.decided_last, e.time) AS last_seen,
    'recorded' AS coverage,
    'decision and call are on record' AS coverage_note,
    j.sources AS coverage_sources
FROM events AS e
INNER JOIN judged AS j ON j.tenant = e.tenant AND j.call_id = e.id
WHERE (e.tenant, toStartOfHour(e.time)) IN (SELECT tenant, hour FROM hours) AND e.id IN (SELECT call_id FROM judged)
