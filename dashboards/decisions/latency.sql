-- How much time is there between a tool call and its decision, over time?
-- Row: one engine in one interval.
-- Units: milliseconds between the two, by the clocks of the two sources; "p50" and "p95" are quantiles. A server that tells when a call began has it before its decision.
-- Not covered: how long the engine itself took, which no source tells; calls without a decision.
-- Empty: No call has its decision.
WITH
    calls AS (
        SELECT id, time, tenant, server_id, tool_name, token_ref, trace_id, jsonrpc_id, correlation_decision_id, outcome, subject_sub, actor_sub
        FROM events
        WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
          AND kind = 'tool_invocation'
          AND ({tenant:String} = '*' OR tenant = {tenant:String})
          AND ({server:String} = '*' OR server_id = {server:String})
          AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))),
    decisions AS (
        SELECT id, time, tenant, server_id, tool_name, token_ref, trace_id, jsonrpc_id, decision_id, decision_effect, decision_engine, decision_policy_version, decision_reason
        FROM events
        WHERE time >= {from:DateTime64(3)} - toIntervalHour(1) AND time <= {to:DateTime64(3)} + toIntervalHour(1)
          AND kind = 'permission_decision'
          AND ({tenant:String} = '*' OR tenant = {tenant:String})),
    pairs AS (
        SELECT c.id AS call, d.id AS decision, 3 AS strength, c.time AS called, d.time AS decided
        FROM calls AS c INNER JOIN decisions AS d ON d.tenant = c.tenant AND d.decision_id = c.correlation_decision_id
        WHERE c.correlation_decision_id != ''
        UNION ALL
        SELECT c.id, d.id, 2, c.time, d.time
        FROM calls AS c INNER JOIN decisions AS d ON d.tenant = c.tenant AND d.trace_id = c.trace_id AND d.tool_name = c.tool_name AND d.server_id = c.server_id
        WHERE c.correlation_decision_id = '' AND c.trace_id != '' AND d.token_ref IN ('', c.token_ref)
          AND (d.jsonrpc_id = c.jsonrpc_id OR d.jsonrpc_id = '' OR c.jsonrpc_id = '')
        UNION ALL
        SELECT c.id, d.id, 1, c.time, d.time
        FROM calls AS c INNER JOIN decisions AS d ON d.tenant = c.tenant AND d.jsonrpc_id = c.jsonrpc_id AND d.tool_name = c.tool_name AND d.server_id = c.server_id AND d.token_ref = c.token_ref
        WHERE c.correlation_decision_id = '' AND c.jsonrpc_id != '' AND c.token_ref != '' AND abs(dateDiff('millisecond', c.time, d.time)) <= 60000),
    nearest AS (
        SELECT call, argMax(decision, (strength, -abs(dateDiff('microsecond', called, decided)))) AS decision
        FROM pairs
        GROUP BY call)
SELECT
    toStartOfInterval(c.time, toIntervalSecond({interval:UInt32})) AS time,
    toString(d.decision_engine) AS engine,
    quantileExact(0.5)(abs(dateDiff('millisecond', d.time, c.time))) AS p50,
    quantileExact(0.95)(abs(dateDiff('millisecond', d.time, c.time))) AS p95
FROM calls AS c
INNER JOIN nearest AS n ON n.call = c.id
INNER JOIN decisions AS d ON d.id = n.decision
GROUP BY time, engine
ORDER BY time, engine
