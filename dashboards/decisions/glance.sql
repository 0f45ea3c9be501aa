-- What did policy engines answer, in numbers?
-- Row: all decisions that match the variables.
-- Units: decisions; "refused" is the share of deny among allow and deny, 0 to 1; "inferred" were concluded from an error of a gateway that hides its denials.
-- Not covered: decisions of engines that no source reports. An engine that could not decide counts as an error, never as a deny.
-- Empty: No decision matches.
SELECT
    count() AS decisions,
    countIf(decision_effect = 'allow') AS allow,
    countIf(decision_effect = 'deny') AS deny,
    countIf(decision_effect = 'error') AS error,
    countIf(decision_effect = 'not_applicable') AS not_applicable,
    countIf(decision_inferred) AS inferred,
    if(allow + deny = 0, 0, round(deny / (allow + deny), 4)) AS refused
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'permission_decision'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
