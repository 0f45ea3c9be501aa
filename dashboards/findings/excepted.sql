-- What did somebody accept, and until when?
-- Row: one finding that is excepted now.
-- Units: "left" seconds from the end of the range until the exception ends.
-- Not covered: exceptions that have ended: such a finding is open again.
-- Empty: No finding is excepted.
SELECT
    tenant,
    toString(severity) AS severity,
    rule,
    identity,
    summary,
    handled_by AS by,
    reason,
    excepted_until AS until,
    dateDiff('second', {to:DateTime64(3)}, excepted_until) AS left,
    toString(key) AS finding
FROM worklist
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(worklist.severity) = {severity:String})
  AND status = 'excepted'
ORDER BY excepted_until, tenant, key
LIMIT 500
