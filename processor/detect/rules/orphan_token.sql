-- Which tokens were accepted that nobody was seen to issue, although their issuer's issues are reported? One row is one token.
WITH
    open_before AS MATERIALIZED (
        SELECT tenant, subject_key[1] AS ref, first_seen FROM findings WHERE rule = 'orphan_token' AND status = 'open'
    ),
    -- An issue that is new is a sign that its source reports those since the one before, and until the next one.
    spoken AS MATERIALIZED (
        SELECT tenant, source_id, if(token_iss != '', toString(token_iss), toString(subject_iss)) AS issuer, min(time) AS first, max(time) AS last
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND (kind = 'token_exchange' AND outcome = 'success' AND exchange_issued_token_ref != '' AND NOT exchange_cached OR type = 'credential.issued')
        GROUP BY tenant, source_id, issuer
    ),
    spans AS MATERIALIZED (
        SELECT s.tenant AS tenant, s.issuer AS issuer,
            greatest(maxIf(e.time, e.time < s.first), any(s.first) - toIntervalSecond({reach:UInt32})) AS since,
            if(countIf(e.time > s.last) > 0, minIf(e.time, e.time > s.last), any(s.last)) + toIntervalSecond({edge:UInt32}) AS until
        FROM spoken AS s
        INNER JOIN (
            SELECT tenant, source_id, if(token_iss != '', toString(token_iss), toString(subject_iss)) AS issuer, time
            FROM events
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([toStartOfHour(first) - INTERVAL 1 HOUR, toStartOfHour(first), toStartOfHour(last), toStartOfHour(last) + INTERVAL 1 HOUR]) FROM spoken)
                AND (kind = 'token_exchange' AND outcome = 'success' AND exchange_issued_token_ref != '' AND NOT exchange_cached OR type = 'credential.issued')
        ) AS e ON e.tenant = s.tenant AND e.source_id = s.source_id AND e.issuer = s.issuer
        GROUP BY s.tenant, s.source_id, s.issuer
    ),
    -- Calls that are new; those that were judged before there was that sign; and those whose finding is open: the issue may have come since.
    judged AS MATERIALIZED (
        SELECT tenant, id, time, token_ref AS ref, if(token_iss != '', toString(token_iss), toString(subject_iss)) AS issuer, token_issued_at AS issued,
            server_id, tool_name, subject_sub, actor_sub, task_id, trace_id
        FROM events
        WHERE (stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
                OR (tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(first_seen) FROM open_before) AND (tenant, token_ref) IN (SELECT tenant, ref FROM open_before))
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_ref != '' AND NOT token_static AND token_issued_at > toDateTime64(0, 6, 'UTC')
        UNION ALL
        SELECT DISTINCT e.*
        FROM (
            SELECT tenant, id, time, token_ref AS ref, if(token_iss != '', toString(token_iss), toString(subject_iss)) AS issuer, token_issued_at AS issued,
                server_id, tool_name, subject_sub, actor_sub, task_id, trace_id
            FROM events
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([toStartOfHour(since), toStartOfHour(since) + INTERVAL 1 HOUR, toStartOfHour(until), toStartOfHour(until) + INTERVAL 1 HOUR]) FROM spans)
                AND stored_time < {from:DateTime64(6, 'UTC')} AND (tenant, token_ref) NOT IN (SELECT tenant, ref FROM open_before)
                AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_ref != '' AND NOT token_static AND token_issued_at > toDateTime64(0, 6, 'UTC')
        ) AS e
        INNER JOIN spans AS s ON s.tenant = e.tenant AND s.issuer = e.issuer
        WHERE e.issued > s.since AND e.issued <= s.until
    ),
    known AS MATERIALIZED (
        SELECT DISTINCT tenant, ref
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM judged) AND (role = 'issued' OR kind = 'credential')
    ),
    -- Nothing has to be looked for about tokens that are known and were.
    asked AS MATERIALIZED (
        SELECT * FROM judged WHERE (tenant, ref) NOT IN (SELECT tenant, ref FROM known) OR (tenant, ref) IN (SELECT tenant, ref FROM open_before)
    ),
    hours AS MATERIALIZED (
        SELECT DISTINCT tenant, arrayJoin([toStartOfHour(issued) - INTERVAL 1 HOUR, toStartOfHour(issued), toStartOfHour(issued) + INTERVAL 1 HOUR]) AS hour
        FROM asked
    ),
    -- Who reports what an issuer issues: not who tells of a token again, or of a key that was found.
    signs AS MATERIALIZED (
        SELECT tenant, source_id, if(token_iss != '', toString(token_iss), toString(subject_iss)) AS issuer, time
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours)
            AND (kind = 'token_exchange' AND outcome = 'success' AND exchange_issued_token_ref != '' AND NOT exchange_cached OR type = 'credential.issued')
    ),
    heard_before AS MATERIALIZED (
        SELECT j.*, s.source_id AS source, s.time AS before_time
        FROM (SELECT *, issued + toIntervalSecond({edge:UInt32}) AS latest FROM asked) AS j
        ASOF INNER JOIN signs AS s ON s.tenant = j.tenant AND s.issuer = j.issuer AND s.time <= j.latest
        WHERE s.time >= j.issued - toIntervalSecond({reach:UInt32})
    ),
    covered AS MATERIALIZED (
        SELECT j.tenant AS tenant, j.id AS id, toString(j.source) AS source, j.before_time AS before_time, s.time AS after_time
        FROM (SELECT *, issued - toIntervalSecond({edge:UInt32}) AS earliest FROM heard_before) AS j
        ASOF INNER JOIN signs AS s ON s.tenant = j.tenant AND s.source_id = j.source AND s.issuer = j.issuer AND s.time >= j.earliest
        WHERE s.time <= j.issued + toIntervalSecond({reach:UInt32})
    )
SELECT
    j.tenant AS tenant,
    [j.ref] AS subject_key,
    (j.tenant, j.ref) NOT IN (SELECT tenant, ref FROM known) AS violated,
    argMin(concat(j.server_id, ' carried out ', j.tool_name, if(j.actor_sub = '', '', concat(' for ', j.actor_sub)), if(j.subject_sub = '', '', concat(' on behalf of ', j.subject_sub)),
        if(violated, ' with a token that nobody was seen to issue', '; the issue of its token came later')), (j.time, j.id)) AS summary,
    argMin(j.subject_sub, (j.time, j.id)) AS subject_sub,
    argMin(j.actor_sub, (j.time, j.id)) AS actor_sub,
    argMin(toString(j.server_id), (j.time, j.id)) AS server_id,
    argMin(toString(j.tool_name), (j.time, j.id)) AS tool_name,
    j.ref AS token_ref,
    argMin(j.task_id, (j.time, j.id)) AS task_id,
    argMin(j.trace_id, (j.time, j.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(j.id))) AS evidence,
    min(j.time) AS first_seen,
    max(j.time) AS last_seen,
    'absence' AS coverage,
    argMin(if(c.source = '', 'its issuer is covered no more', concat(c.source, ' reports what ', j.issuer, ' issues: heard of at ', toString(c.before_time), ' and at ', toString(c.after_time), ', the token was issued at ', toString(j.issued))), (c.source = '', j.time, j.id)) AS coverage_note,
    groupUniqArrayIf(10)(c.source, c.source != '') AS coverage_sources
FROM asked AS j
LEFT JOIN covered AS c ON c.tenant = j.tenant AND c.id = j.id
GROUP BY j.tenant, j.ref
-- An open finding is judged by whether the issue is known; coverage opened it.
HAVING if(violated, max(c.source) != '', (j.tenant, j.ref) IN (SELECT tenant, ref FROM open_before))
