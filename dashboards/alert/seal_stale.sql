-- Are records stored that no checkpoint covers for long?
-- Row: one partition that was sealed before and has records of the range behind its newest checkpoint.
-- Units: seconds since the oldest of them was handed to the broker; more than 15 minutes is too much.
-- Not covered: installations that never sealed; records that are older than the range, of which an hour is shown.
-- Empty: Every record of the range is sealed.
SELECT
    r.topic AS topic,
    toString(r.partition) AS partition,
    dateDiff('second', min(r.log_time), {to:DateTime64(3)}) AS waiting
FROM records AS r
LEFT JOIN
(
    SELECT topic, epoch, partition, max(base + size) AS sealed
    FROM checkpoints
    GROUP BY topic, epoch, partition
) AS c ON c.topic = r.topic AND c.epoch = r.epoch AND c.partition = r.partition
WHERE r.log_time >= {from:DateTime64(3)} AND r.log_time <= {to:DateTime64(3)}
  AND (r.topic, r.partition) IN (SELECT topic, partition FROM checkpoints)
  AND r.offset >= c.sealed
GROUP BY r.topic, r.partition
ORDER BY topic, partition
