-- Did records leave Kafka before they were read?
-- Row: one partition of one topic whose log ended and began again in the range.
-- Units: gaps; one is enough.
-- Not covered: how many records are lost, where the log's beginning is not known: see "custody seal show".
-- Empty: The log is whole.
SELECT
    topic,
    toString(partition) AS partition,
    count() AS gaps
FROM log_gaps FINAL
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
GROUP BY topic, partition
ORDER BY topic, partition
