-- Who has findings that are not closed?
-- Row: one identity: who acted, or the subject where nobody acts for it; empty: findings that name nobody.
-- Units: findings that are open or in hand, by severity; "oldest" seconds since the oldest was opened.
-- Not covered: the issuer: identities of the same name are taken together.
-- Empty: No finding is open or in hand.
SELECT
    tenant,
    identity,
    count() AS findings,
    countIf(severity = 'critical') AS critical,
    countIf(severity = 'high') AS high,
    countIf(severity NOT IN ('critical', 'high')) AS lower,
    arrayStringConcat(arraySort(groupUniqArray(rule)), ' ') AS rules,
    arrayStringConcat(arraySort(groupUniqArrayIf(server_id, server_id != '')), ' ') AS servers,
    dateDiff('second', min(opened_time), {to:DateTime64(3)}) AS oldest
FROM worklist
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(severity) = {severity:String})
  AND opened_time <= {to:DateTime64(3)}
  AND status IN ('open', 'acknowledged', 'assigned')
GROUP BY tenant, identity
ORDER BY critical DESC, high DESC, findings DESC, tenant, identity
LIMIT 500
