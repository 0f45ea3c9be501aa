-- What does each version of a policy answer?
-- Row: one version of one policy, of one engine in one tenant.
-- Units: decisions, by effect; "refused" is the share of deny among allow and deny, 0 to 1.
-- Not covered: policies that were never asked; a version that the engine does not tell is empty.
-- Empty: No decision matches.
SELECT
    tenant,
    decision_engine AS engine,
    decision_policy AS policy,
    decision_policy_version AS policy_version,
    countIf(decision_effect = 'allow') AS allow,
    countIf(decision_effect = 'deny') AS deny,
    countIf(decision_effect = 'error') AS error,
    countIf(decision_effect = 'not_applicable') AS not_applicable,
    if(allow + deny = 0, 0, round(deny / (allow + deny), 4)) AS refused,
    min(time) AS first,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'permission_decision'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY tenant, engine, policy, policy_version
ORDER BY tenant, engine, policy, last DESC
LIMIT 500
