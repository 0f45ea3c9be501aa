-- Which calls failed, and with which code?
-- Row: one outcome, status and code of one tool.
-- Units: calls; "agents" different actors that met it.
-- Not covered: the text of an error, which may hold secrets and is not kept.
-- Empty: No call failed or was refused.
SELECT
    tenant,
    server_id AS server,
    tool_name AS tool,
    outcome,
    tool_result_status AS status,
    tool_error_code AS code,
    count() AS calls,
    uniqExact((actor_iss, actor_sub)) AS agents,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND outcome != 'success'
GROUP BY tenant, server, tool, outcome, status, code
ORDER BY calls DESC, last DESC
LIMIT 500
