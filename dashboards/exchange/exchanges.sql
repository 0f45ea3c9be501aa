-- How many token exchanges were there and how did they end, over time?
-- Row: one outcome in one interval; "cached" stands for answers from a gateway's cache.
-- Units: exchanges per interval.
-- Not covered: exchanges that no source reports.
-- Empty: No exchange matches.
SELECT
    toStartOfInterval(time, toIntervalSecond({interval:UInt32})) AS time,
    if(exchange_cached, 'cached', toString(outcome)) AS outcome,
    count() AS exchanges
FROM events
WHERE events.time >= {from:DateTime64(3)} AND events.time <= {to:DateTime64(3)}
  AND kind = 'token_exchange'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY time, outcome
ORDER BY time, outcome
