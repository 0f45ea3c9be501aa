-- How did tool calls end, over time?
-- Row: one outcome in one interval: success, failure (the tool reported failure), denied, error (could not be carried out).
-- Units: calls per interval.
-- Not covered: calls that a gateway refused before any source saw them.
-- Empty: No tool call matches.
SELECT
    toStartOfInterval(time, toIntervalSecond({interval:UInt32})) AS time,
    toString(outcome) AS outcome,
    count() AS calls
FROM events
WHERE events.time >= {from:DateTime64(3)} AND events.time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY time, outcome
ORDER BY time, outcome
