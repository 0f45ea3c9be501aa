-- Is the log whole, as it is stored?
-- Row: one partition of one topic, in one epoch (an incarnation of the partition's log).
-- Units: "records" stored from this range; "missing" offsets between the first and the last of them that are not stored: 0 in an untampered log.
-- Not covered: what is behind the last stored offset: see the lag. Records that were deleted and whose neighbours were deleted too.
-- Empty: No record was stored from this range.
SELECT
    topic,
    partition,
    epoch,
    count() AS records,
    min(offset) AS first_offset,
    max(offset) AS last_offset,
    toInt64(max(offset)) - toInt64(min(offset)) + 1 - toInt64(uniqExact(offset)) AS missing,
    max(log_time) AS last
FROM records
WHERE log_time >= {from:DateTime64(3)} AND log_time <= {to:DateTime64(3)}
GROUP BY topic, partition, epoch
ORDER BY topic, partition, epoch
LIMIT 1000
