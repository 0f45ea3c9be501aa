-- What waits, the worst first and then the oldest?
-- Row: one finding that is open, acknowledged or assigned.
-- Units: "age" seconds since it was opened, "idle" seconds since somebody acted on it, empty for never; "evidence" events that it rests on, at most 100.
-- Not covered: what was opened after the range. The status is that of now.
-- Empty: No finding is open or in hand.
SELECT
    tenant,
    toString(severity) AS severity,
    rule,
    summary,
    identity,
    server_id AS server,
    status,
    assignee,
    dateDiff('second', opened_time, {to:DateTime64(3)}) AS age,
    if(handled_by = '', NULL, dateDiff('second', handled_time, {to:DateTime64(3)})) AS idle,
    length(evidence) AS evidence,
    toString(coverage) AS coverage,
    toString(key) AS finding
FROM worklist
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(worklist.severity) = {severity:String})
  AND opened_time <= {to:DateTime64(3)}
  AND status IN ('open', 'acknowledged', 'assigned')
ORDER BY worklist.severity DESC, opened_time, tenant, key
LIMIT 500
