-- Why was something denied?
-- Row: one rule and reason of one policy version, for one tool of one server.
-- Units: "denied" decisions; "agents" different actors that met it.
-- Not covered: why an engine could not decide, which is no denial; what an engine does not say of its reasons.
-- Empty: Nothing was denied.
SELECT
    tenant,
    decision_policy AS policy,
    decision_policy_version AS policy_version,
    decision_rule AS rule,
    decision_reason AS reason,
    server_id AS server,
    tool_name AS tool,
    count() AS denied,
    uniqExact((actor_iss, actor_sub)) AS agents,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'permission_decision'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND decision_effect = 'deny'
GROUP BY tenant, policy, policy_version, rule, reason, server, tool
ORDER BY denied DESC, last DESC
LIMIT 500
