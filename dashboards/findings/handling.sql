-- How long until somebody looks, and until it is over?
-- Row: one severity: findings that were opened in the range.
-- Units: seconds from when a finding was opened first to the first act on it (acknowledged, assigned, resolved or excepted), and until it was resolved, excepted, or not so any more for the first time; mean and median of those for which that happened by the end of the range.
-- Not covered: those that still wait, of which "waiting" are not acted on: they make the true mean larger.
-- Empty: No finding was opened in this range.
SELECT
    toString(f.severity) AS severity,
    count() AS findings,
    countIf(acted = toDateTime64(0, 6, 'UTC') AND over = toDateTime64(0, 6, 'UTC')) AS waiting,
    if(countIf(acted > opened_time) = 0, NULL, avgIf(dateDiff('second', opened_time, acted), acted > opened_time)) AS mean_to_act,
    if(countIf(acted > opened_time) = 0, NULL, quantileExactIf(0.5)(dateDiff('second', opened_time, acted), acted > opened_time)) AS median_to_act,
    if(countIf(over > opened_time) = 0, NULL, avgIf(dateDiff('second', opened_time, over), over > opened_time)) AS mean_to_end,
    if(countIf(over > opened_time) = 0, NULL, quantileExactIf(0.5)(dateDiff('second', opened_time, over), over > opened_time)) AS median_to_end
FROM findings AS f
LEFT JOIN
(
    SELECT
        tenant,
        key,
        minIf(time, action IN ('acknowledged', 'assigned', 'resolved', 'excepted')) AS acted,
        minIf(time, action IN ('resolved', 'excepted', 'auto_resolved')) AS over
    FROM finding_history
    WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
    GROUP BY tenant, key
) AS h ON h.tenant = f.tenant AND h.key = f.key
WHERE opened_time >= {from:DateTime64(3)} AND opened_time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR f.tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(f.severity) = {severity:String})
GROUP BY f.severity
ORDER BY f.severity DESC
