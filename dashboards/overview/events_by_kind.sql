-- How many events of each kind were there, over time?
-- Row: one kind in one interval.
-- Units: events per interval.
-- Not covered: what no source reports. The time is the source's clock; an event that arrives late appears where it happened.
-- Empty: No event matches.
SELECT
    toStartOfInterval(time, toIntervalSecond({interval:UInt32})) AS time,
    toString(kind) AS kind,
    count() AS events
FROM events
WHERE events.time >= {from:DateTime64(3)} AND events.time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY time, kind
ORDER BY time, kind
