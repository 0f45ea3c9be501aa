-- How much is found, and how much of it is not dealt with?
-- Row: all findings that match the variables and were opened by the end of the range, as they stand now.
-- Units: findings; "open" nobody has acted on, "in_hand" are acknowledged or assigned, "excepted" somebody accepted until a date; "critical" and "high" count those open or in hand; "oldest" seconds since the oldest of these was opened, empty for none; "opened" and "closed" within the range, closed by people or because it is not so any more.
-- Not covered: what no rule looks for, and what no source reports. What was opened again after it was closed counts as opened once.
-- Empty: Nothing was found.
SELECT
    countIf(status = 'open') AS open,
    countIf(status IN ('acknowledged', 'assigned')) AS in_hand,
    countIf(severity = 'critical' AND status IN ('open', 'acknowledged', 'assigned')) AS critical,
    countIf(severity = 'high' AND status IN ('open', 'acknowledged', 'assigned')) AS high,
    countIf(status = 'excepted') AS excepted,
    if(countIf(status IN ('open', 'acknowledged', 'assigned')) = 0, NULL,
        dateDiff('second', minIf(opened_time, status IN ('open', 'acknowledged', 'assigned')), {to:DateTime64(3)})) AS oldest,
    countIf(opened_time >= {from:DateTime64(3)}) AS opened,
    countIf(status IN ('resolved', 'auto_resolved') AND updated_time >= {from:DateTime64(3)} AND updated_time <= {to:DateTime64(3)}) AS closed
FROM worklist
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(severity) = {severity:String})
  AND opened_time <= {to:DateTime64(3)}
