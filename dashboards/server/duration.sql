-- How long do calls take, over time?
-- Row: one server in one interval.
-- Units: milliseconds, as the source measured them; "p50" and "p95" are quantiles.
-- Not covered: calls whose source tells no duration, or that were denied.
-- Empty: No call tells how long it took.
SELECT
    toStartOfInterval(time, toIntervalSecond({interval:UInt32})) AS time,
    toString(server_id) AS server,
    quantileExact(0.5)(tool_duration_ms) AS p50,
    quantileExact(0.95)(tool_duration_ms) AS p95
FROM events
WHERE events.time >= {from:DateTime64(3)} AND events.time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND tool_duration_ms > 0
  AND outcome != 'denied'
GROUP BY time, server
ORDER BY time, server
