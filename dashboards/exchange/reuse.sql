-- How often is a token used that was issued once?
-- Row: one token issued in the range.
-- Units: "calls" tool calls with it; "servers" and "tasks" different ones; "repeats" answers from a cache; "used_for" seconds from its issue to its last call.
-- Not covered: calls after the end of the range or that no source reports. Use of one token by several servers is passthrough, or a token for several audiences.
-- Empty: No exchange issued a token.
WITH
    issued AS (
        SELECT tenant, exchange_issued_token_ref AS token, min(time) AS issued_at, countIf(exchange_cached) AS repeats,
            argMin(subject_sub, time) AS subject, argMin(actor_sub, time) AS actor, argMin(arrayStringConcat(exchange_requested_audience, ' '), time) AS audience
        FROM events
        WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
          AND kind = 'token_exchange'
          AND ({tenant:String} = '*' OR tenant = {tenant:String})
          AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
          AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
          AND exchange_issued_token_ref != ''
        GROUP BY tenant, token),
    used AS (
        SELECT tenant, token_ref AS token, count() AS calls, uniqExact(server_id) AS servers, uniqExactIf(task_id, task_id != '') AS tasks, max(time) AS last
        FROM events
        WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
          AND kind = 'tool_invocation'
          AND ({tenant:String} = '*' OR tenant = {tenant:String})
          AND token_ref != ''
        GROUP BY tenant, token)
SELECT
    i.issued_at AS time,
    i.tenant AS tenant,
    i.subject AS subject,
    i.actor AS actor,
    i.audience AS audience,
    u.calls AS calls,
    u.servers AS servers,
    u.tasks AS tasks,
    i.repeats AS repeats,
    if(u.calls = 0, 0, dateDiff('second', i.issued_at, u.last)) AS used_for,
    i.token AS token
FROM issued AS i
LEFT JOIN used AS u ON u.tenant = i.tenant AND u.token = i.token
ORDER BY calls DESC, time
LIMIT 500
