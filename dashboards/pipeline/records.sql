-- What became of the records of the log, over time?
-- Row: one state in one interval, by the broker's clock: stored, duplicate (a re-delivery), conflict (a known id with other contents), malformed (no event).
-- Units: records per interval.
-- Not covered: records that are in Kafka and not stored yet: see the lag. Malformed records have no tenant and show for all tenants only.
-- Empty: No record was stored from this range.
SELECT
    toStartOfInterval(log_time, toIntervalSecond({interval:UInt32})) AS time,
    toString(state) AS state,
    count() AS records
FROM records
WHERE log_time >= {from:DateTime64(3)} AND log_time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
GROUP BY time, state
ORDER BY time, state
