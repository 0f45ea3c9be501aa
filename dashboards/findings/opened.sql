-- How many findings were opened, and how bad are they?
-- Row: one severity in one interval.
-- Units: findings per interval, by when they were opened; one that was opened again counts once.
-- Not covered: what became of them.
-- Empty: No finding was opened in this range.
SELECT
    toStartOfInterval(opened_time, toIntervalSecond({interval:UInt32})) AS time,
    toString(severity) AS severity,
    count() AS findings
FROM findings
WHERE opened_time >= {from:DateTime64(3)} AND opened_time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(findings.severity) = {severity:String})
GROUP BY time, severity
ORDER BY time, severity
