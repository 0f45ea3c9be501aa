-- Which tool calls did nobody decide on?
-- Row: one tool call that no decision belongs to: by the decision id that the call carries, else by trace, tool and server, else by JSON-RPC id, token, tool and server within a minute.
-- Units: "decisions" counts the decisions of the tenant in the range, at that server and at all. Where it is 0, no decision source may be connected: that is a gap in what is seen, and no finding against the call.
-- Not covered: a decision that lies more than an hour outside the range; sources that were silent, see the Overview.
-- Empty: Every call has its decision.
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
    t.here AS decisions_here,
    t.total AS decisions,
    toString(c.id) AS event,
    c.token_ref AS token
FROM calls AS c
LEFT JOIN (
    SELECT tenant, server_id, countIf(tenant != '') AS here, sum(here) OVER (PARTITION BY tenant) AS total FROM decisions GROUP BY tenant, server_id
) AS t ON t.tenant = c.tenant AND t.server_id = c.server_id
WHERE c.id NOT IN (SELECT call FROM nearest)
ORDER BY time DESC
LIMIT 500
