-- When was something bad found?
-- Row: one finding of severity high or critical that was opened in the range.
-- Units: none.
-- Not covered: lesser findings; beyond 200, the latest.
-- Empty: Nothing bad was found in this range.
SELECT
    opened_time AS time,
    concat(toString(severity), ': ', summary) AS text,
    concat(rule, ',', tenant) AS tags
FROM findings
WHERE opened_time >= {from:DateTime64(3)} AND opened_time <= {to:DateTime64(3)}
  AND severity IN ('high', 'critical')
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
ORDER BY opened_time DESC, key
LIMIT 200
