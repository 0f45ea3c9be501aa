-- Which calls were carried out without a decision at a server that a decision source covers? One row is one call.
WITH
    fresh AS MATERIALIZED (
        SELECT tenant, id, time, trace_id, outcome IN ('success', 'failure') AS ran
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND type = 'mcp.tools.call'
    ),
    -- A decision that is new is a sign that its source covers the calls since the one before, and until the next one.
    spoken AS MATERIALIZED (
        SELECT tenant, source_id, min(time) AS first, max(time) AS last
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND kind = 'permission_decision'
            AND NOT decision_inferred AND decision_effect != 'not_applicable'
        GROUP BY tenant, source_id
    ),
    spans AS MATERIALIZED (
        SELECT s.tenant AS tenant, s.source_id AS source_id, groupUniqArray(e.server_id) AS servers,
            greatest(maxIf(e.time, e.time < s.first), any(s.first) - toIntervalSecond({reach:UInt32})) AS since,
            if(countIf(e.time > s.last) > 0, minIf(e.time, e.time > s.last), any(s.last)) + toIntervalSecond({edge:UInt32}) AS until
        FROM spoken AS s
        INNER JOIN (
            SELECT tenant, source_id, server_id, time
            FROM events
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([toStartOfHour(first) - INTERVAL 1 HOUR, toStartOfHour(first), toStartOfHour(last), toStartOfHour(last) + INTERVAL 1 HOUR]) FROM spoken)
                AND kind = 'permission_decision' AND NOT decision_inferred AND decision_effect != 'not_applicable'
        ) AS e ON e.tenant = s.tenant AND e.source_id = s.source_id
        GROUP BY s.tenant, s.source_id
    ),
    -- Most calls are decided by a decision of their trace and number, and are asked no more about.
    settled AS MATERIALIZED (
        SELECT DISTINCT c.tenant AS tenant, c.id AS id
        FROM (
            SELECT tenant, id, time, trace_key, named_decision_id AS named
            FROM decision_keys
            WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND type = 'mcp.tools.call' AND trace_key != 0
        ) AS c
        INNER JOIN (
            SELECT tenant, time, trace_key, named_decision_id AS named
            FROM decision_keys
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) FROM fresh)
                AND trace_id IN (SELECT trace_id FROM fresh) AND kind = 'permission_decision' AND decision_effect IN ('allow', 'deny') AND trace_key != 0
        ) AS d ON d.tenant = c.tenant AND d.trace_key = c.trace_key
        WHERE (c.named = '' OR d.named = '' OR c.named = d.named) AND abs(dateDiff('millisecond', c.time, d.time)) <= 1000 * {window:UInt32}
    ),
    -- Calls that are new; those that were judged before there was that sign; and those whose finding is open: a decision may have come since.
    asked AS MATERIALIZED (
        SELECT tenant, id, time, false AS known FROM fresh WHERE ran AND (tenant, id) NOT IN (SELECT tenant, id FROM settled)
        UNION ALL
        SELECT e.tenant AS tenant, e.id AS id, e.time AS time, false AS known
        FROM events AS e
        INNER JOIN (SELECT tenant, since, until, arrayJoin(servers) AS server_id FROM spans) AS s ON s.tenant = e.tenant AND s.server_id = e.server_id
        WHERE (e.tenant, toStartOfHour(e.time)) IN (SELECT tenant, arrayJoin([toStartOfHour(since), toStartOfHour(since) + INTERVAL 1 HOUR, toStartOfHour(until)]) FROM spans)
            AND e.stored_time < {from:DateTime64(6, 'UTC')} AND e.type = 'mcp.tools.call' AND e.outcome IN ('success', 'failure') AND e.time > s.since AND e.time <= s.until
        UNION ALL
        SELECT tenant, id, time, true AS known
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(first_seen) FROM findings WHERE rule = 'call_without_decision' AND status = 'open')
            AND (tenant, toString(id)) IN (SELECT tenant, subject_key[1] FROM findings WHERE rule = 'call_without_decision' AND status = 'open')
    ),
    -- A client numbers its requests on each connection anew. Calls that one source reports, with one token and number, at one server and of
    -- one tool, are several requests, and one decision cannot be about two. Of more than so many nothing is concluded: who gives
    -- each request the same number says nothing by it.
    rivals AS MATERIALIZED (
        SELECT tenant, source_id, token_key AS key, groupUniqArray((id, time)) AS calls
        FROM decision_keys
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) FROM (SELECT tenant, time FROM fresh UNION ALL SELECT tenant, time FROM asked))
            AND type = 'mcp.tools.call' AND token_key != 0
        GROUP BY tenant, source_id, key
        HAVING length(calls) BETWEEN 2 AND 200
    ),
    -- A new call may be what an earlier one's decision was about.
    candidates AS MATERIALIZED (
        SELECT tenant, id, time, known FROM asked
        UNION ALL
        SELECT tenant, c.1 AS id, c.2 AS time, false AS known
        FROM (
            SELECT r.tenant AS tenant, arrayJoin(arrayFilter(c -> arrayExists(n -> abs(dateDiff('second', c.2, n.2)) <= 2 * {window:UInt32}, arrayFilter(n -> has(fresh, n.1), calls)), calls)) AS c
            FROM (SELECT r.tenant AS tenant, r.calls AS calls, groupArray(n.id) AS fresh
                FROM (SELECT *, arrayJoin(calls).1 AS id FROM rivals) AS r
                INNER JOIN (SELECT tenant, id FROM fresh) AS n ON n.tenant = r.tenant AND n.id = r.id
                GROUP BY r.tenant, r.source_id, r.key, r.calls) AS r
        )
        WHERE (tenant, id) NOT IN (SELECT tenant, id FROM settled)
    ),
    -- Or of what a sure key joins them with.
    wanted AS MATERIALIZED (
        SELECT tenant, id, time, join_key.2 AS key, join_key.1 = 'decision' AS by_id, trace_id, named_decision_id AS named, jsonrpc_id = '' OR join_key.1 != 'trace only' AS nameless
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(time) FROM candidates) AND type = 'mcp.tools.call' AND id IN (SELECT id FROM candidates) AND join_key.1 != 'token'
    ),
    sure AS MATERIALIZED (
        SELECT DISTINCT w.tenant AS tenant, w.id AS id
        FROM wanted AS w
        INNER JOIN (
            SELECT tenant, join_key.2 AS key, time, named_decision_id AS named, jsonrpc_id = '' OR join_key.1 != 'trace only' AS nameless
            FROM decision_joins
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) FROM wanted WHERE NOT by_id)
                AND trace_id IN (SELECT trace_id FROM wanted WHERE NOT by_id) AND kind = 'permission_decision' AND decision_effect IN ('allow', 'deny') AND join_key.1 IN ('trace', 'trace only')
            UNION ALL
            SELECT tenant, join_key.2 AS key, time, named_decision_id AS named, true AS nameless
            FROM decision_joins
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) FROM wanted WHERE by_id)
                AND named_decision_id IN (SELECT named FROM wanted WHERE by_id) AND kind = 'permission_decision' AND decision_effect IN ('allow', 'deny') AND join_key.1 = 'decision'
        ) AS d ON d.tenant = w.tenant AND d.key = w.key
        WHERE (w.nameless OR d.nameless) AND (w.named = '' OR d.named = '' OR w.named = d.named)
            AND (w.by_id OR abs(dateDiff('millisecond', w.time, d.time)) <= 1000 * {window:UInt32})
    ),
    judged AS MATERIALIZED (
        SELECT tenant, id, time, server_id, tool_name, token_ref, subject_sub, actor_sub, task_id, trace_id, correlation_decision_id AS named,
            (tenant, id) IN (SELECT tenant, id FROM candidates WHERE known) AS known
        FROM events
        WHERE (tenant, toStartOfHour(time), id) IN (SELECT tenant, toStartOfHour(time), id FROM candidates WHERE known OR (tenant, id) NOT IN (SELECT tenant, id FROM sure))
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure')
    ),
    hours AS MATERIALIZED (
        SELECT DISTINCT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) AS hour
        FROM judged
    ),
    crowds AS MATERIALIZED (
        SELECT tenant, source_id, key, arrayJoin(calls).1 AS id
        FROM rivals
        WHERE (tenant, source_id, key) IN (SELECT tenant, source_id, key FROM (SELECT tenant, source_id, key, arrayJoin(calls).1 AS id FROM rivals) WHERE (tenant, id) IN (SELECT tenant, id FROM judged))
    ),
    decisions AS MATERIALIZED (
        SELECT tenant, join_key, id, time, jsonrpc_id, toString(decision_effect) AS effect, named_decision_id AS named
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND kind = 'permission_decision'
    ),
    -- An engine that failed, has no policy for it or answers with a condition has not decided.
    answered AS MATERIALIZED (
        SELECT c.tenant AS tenant, c.id AS id, countIf(d.effect IN ('allow', 'deny') AND c.join_key.1 != 'token') > 0 AS known_by, countIf(d.effect IN ('allow', 'deny')) > 0 AS decided,
            arraySort(groupUniqArrayIf(d.effect, d.effect NOT IN ('allow', 'deny'))) AS effects
        FROM decision_joins AS c
        INNER JOIN decisions AS d ON d.tenant = c.tenant AND d.join_key = c.join_key
        WHERE (c.tenant, toStartOfHour(c.time)) IN (SELECT tenant, hour FROM hours) AND c.type = 'mcp.tools.call' AND (c.tenant, c.id) IN (SELECT tenant, id FROM judged)
            AND (c.join_key.1 != 'trace only' OR c.jsonrpc_id = '' OR d.jsonrpc_id = '')
            AND (c.named_decision_id = '' OR d.named = '' OR c.named_decision_id = d.named) -- the caller says which one, and it is another
            AND (c.join_key.1 = 'decision' OR abs(dateDiff('millisecond', c.time, d.time)) <= 1000 * {window:UInt32})
        GROUP BY c.tenant, c.id
    ),
    -- Which decision may be about which of them, and how sure that is: by its id or a trace, or only by token and number.
    contested AS MATERIALIZED (
        SELECT c.tenant AS tenant, c.id AS id, d.id AS decision, if(max(c.join_key.1 != 'token'), 0, 1) AS rank, any(abs(dateDiff('millisecond', c.time, d.time))) AS apart
        FROM decision_joins AS c
        INNER JOIN decisions AS d ON d.tenant = c.tenant AND d.join_key = c.join_key
        WHERE (c.tenant, toStartOfHour(c.time)) IN (SELECT tenant, hour FROM hours) AND c.type = 'mcp.tools.call'
            AND (c.tenant, c.id) IN (SELECT tenant, id FROM crowds)
            AND (c.join_key.1 != 'trace only' OR c.jsonrpc_id = '' OR d.jsonrpc_id = '')
            AND (c.named_decision_id = '' OR d.named = '' OR c.named_decision_id = d.named)
            AND (c.join_key.1 = 'decision' OR abs(dateDiff('millisecond', c.time, d.time)) <= 1000 * {window:UInt32})
            AND d.effect IN ('allow', 'deny')
        GROUP BY c.tenant, c.id, d.id
    ),
    -- Each decision is given to one of them, the surest pair first and then the closest in time.
    given AS MATERIALIZED (
        SELECT tenant, arrayJoin(arrayFold((got, p) -> if(p.1 = 0 OR NOT has(got.1, p.3) AND NOT has(got.2, p.4), (arrayPushBack(got.1, p.3), arrayPushBack(got.2, p.4)), got),
            arraySort(groupArray((c.rank, c.apart, c.id, c.decision))), (CAST([], 'Array(UUID)'), CAST([], 'Array(UUID)'))).1) AS id
        FROM crowds AS r
        INNER JOIN contested AS c ON c.tenant = r.tenant AND c.id = r.id
        GROUP BY r.tenant AS tenant, r.source_id, r.key
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
    NOT (max(a.known_by) OR max(a.decided) AND ((j.tenant, j.id) IN (SELECT tenant, id FROM given) OR (j.tenant, j.id) NOT IN (SELECT tenant, id FROM crowds))) AS violated,
    concat(any(j.server_id), ' carried out ', any(j.tool_name), if(any(j.actor_sub) = '', '', concat(' for ', any(j.actor_sub))),
        if(any(j.subject_sub) = '', '', concat(' on behalf of ', any(j.subject_sub))),
        multiIf(NOT violated, '; the decision came later', max(a.decided), ' and nobody decided: what was decided for its token and number was another call', notEmpty(any(a.effects)), concat(' and nobody decided: the answer was ', arrayStringConcat(any(a.effects), ' and ')),
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
