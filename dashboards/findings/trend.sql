-- Is more found than is dealt with?
-- Row: one thing that happened to findings in one interval.
-- Units: times per interval; "opened", "reappeared" and "reopened" make work; "acknowledged", "assigned", "resolved" and "excepted" are people's, "auto_resolved" the detections'.
-- Not covered: comments. An act that was repeated counts once.
-- Empty: Nothing happened to a finding in this range.
SELECT
    toStartOfInterval(h.time, toIntervalSecond({interval:UInt32})) AS time,
    toString(h.action) AS action,
    uniqExact(h.id) AS times
FROM finding_history AS h
INNER JOIN
(
    SELECT tenant, key
    FROM findings
    WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({server:String} = '*' OR server_id = {server:String})
      AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
      AND ({severity:String} = '*' OR toString(severity) = {severity:String})
) AS f ON f.tenant = h.tenant AND f.key = h.key
WHERE h.time >= {from:DateTime64(3)} AND h.time <= {to:DateTime64(3)} AND h.action != 'commented'
GROUP BY time, action
ORDER BY time, action
