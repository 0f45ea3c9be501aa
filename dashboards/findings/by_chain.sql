-- Which delegations have findings that are not closed?
-- Row: one delegation chain, by the token at its root; by token, task or trace where the root is not known.
-- Units: findings that are open or in hand; "oldest" seconds since the oldest was opened.
-- Not covered: findings that name no token, task or trace.
-- Empty: No finding about a delegation is open or in hand.
SELECT
    tenant,
    replaceRegexpOne(chain, '^(task|trace):', '') AS chain,
    count() AS findings,
    toString(max(worklist.severity)) AS worst,
    arrayStringConcat(arraySort(groupUniqArray(rule)), ' ') AS rules,
    arrayStringConcat(arraySort(groupUniqArrayIf(identity, identity != '')), ' ') AS identities,
    dateDiff('second', min(opened_time), {to:DateTime64(3)}) AS oldest
FROM worklist
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(worklist.severity) = {severity:String})
  AND opened_time <= {to:DateTime64(3)}
  AND status IN ('open', 'acknowledged', 'assigned')
  AND worklist.chain != ''
GROUP BY tenant, chain
ORDER BY max(worklist.severity) DESC, findings DESC, tenant, chain
LIMIT 500
