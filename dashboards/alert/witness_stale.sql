-- Did witnesses stop to cosign?
-- Row: one partition whose checkpoints a witness cosigned before.
-- Units: seconds from the newest checkpoint that has a cosignature to the newest one; more than an hour is too much.
-- Not covered: logs that were never witnessed; which of several witnesses is missing: see "custody seal show".
-- Empty: No witness ever cosigned.
SELECT
    topic,
    toString(partition) AS partition,
    dateDiff('second', maxIf(time, signatures > 1), max(time)) AS unwitnessed
FROM checkpoints
WHERE time <= {to:DateTime64(3)}
GROUP BY topic, partition
HAVING countIf(signatures > 1) > 0
ORDER BY topic, partition
