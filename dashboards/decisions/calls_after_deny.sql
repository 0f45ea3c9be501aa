-- Which tool calls ran although the decision was not to allow them?
-- Row: one tool call that ended in success or failure, so it was carried out, while the decision on it was deny, error or not_applicable.
-- Units: none; "join" says by what the decision belongs to the call: decision_id, trace or jsonrpc, strongest first.
-- Not covered: calls without any decision, listed beside this; a second decision on the same call, of which the nearest in time is taken.
-- Empty: No call ran against its decision.
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
    c.time AS time,
    c.tenant AS tenant,
    c.server_id AS server,
    c.tool_name AS tool,
    c.subject_sub AS subject,
    c.actor_sub AS actor,
    c.outcome AS outcome,
    d.decision_effect AS effect,
    d.decision_engine AS engine,
    d.decision_policy_version AS policy_version,
    d.decision_reason AS reason,
    multiIf(c.correlation_decision_id != '', 'decision_id', c.trace_id != '' AND d.trace_id = c.trace_id, 'trace', 'jsonrpc') AS join,
    toString(c.id) AS event,
    c.token_ref AS token
FROM calls AS c
INNER JOIN nearest AS n ON n.call = c.id
INNER JOIN decisions AS d ON d.id = n.decision
WHERE c.outcome IN ('success', 'failure') AND d.decision_effect != 'allow'
ORDER BY time DESC
LIMIT 500
