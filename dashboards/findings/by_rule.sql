-- Which rules have findings that are not closed?
-- Row: one rule with one severity.
-- Units: findings; "oldest" and "newest" seconds since the oldest and the newest one that is open or in hand was opened, empty for none.
-- Not covered: rules that found nothing. What each means and how to respond is in docs/detections.md and in "custody findings show".
-- Empty: No finding is open, in hand or excepted.
SELECT
    rule,
    toString(severity) AS severity,
    any(title) AS title,
    countIf(status = 'open') AS open,
    countIf(status IN ('acknowledged', 'assigned')) AS in_hand,
    countIf(status = 'excepted') AS excepted,
    uniqExactIf((tenant, identity), identity != '') AS identities,
    if(open + in_hand = 0, NULL, dateDiff('second', minIf(opened_time, status != 'excepted'), {to:DateTime64(3)})) AS oldest,
    if(open + in_hand = 0, NULL, dateDiff('second', maxIf(opened_time, status != 'excepted'), {to:DateTime64(3)})) AS newest
FROM worklist
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(worklist.severity) = {severity:String})
  AND opened_time <= {to:DateTime64(3)}
  AND status IN ('open', 'acknowledged', 'assigned', 'excepted')
GROUP BY rule, worklist.severity
ORDER BY worklist.severity DESC, open + in_hand DESC, rule
LIMIT 500
