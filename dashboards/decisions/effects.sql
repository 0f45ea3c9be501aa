-- What did policy engines answer, over time?
-- Row: one effect in one interval: allow, deny, error (could not decide), not_applicable (no policy speaks of it).
-- Units: decisions per interval.
-- Not covered: decisions of engines that no source reports.
-- Empty: No decision matches.
SELECT
    toStartOfInterval(time, toIntervalSecond({interval:UInt32})) AS time,
    toString(decision_effect) AS effect,
    count() AS decisions
FROM events
WHERE events.time >= {from:DateTime64(3)} AND events.time <= {to:DateTime64(3)}
  AND kind = 'permission_decision'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY time, effect
ORDER BY time, effect
