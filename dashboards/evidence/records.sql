-- Where is it in the log, and is it sealed?
-- Row: one record of the log that holds one of the events above, re-deliveries too.
-- Units: "size" of the smallest signed checkpoint that covers the record, empty when none does yet; "witnesses" who cosigned it, beside the log.
-- Not covered: whether the seal holds: "custody proof export" makes a bundle that is checked without ClickHouse.
-- Empty: No record of the log holds such an event.
WITH
    (
        SELECT groupUniqArray(10000)(id)
        FROM
        (
            SELECT toUUIDOrZero({start:String}) AS id
            UNION ALL
            SELECT arrayJoin(evidence) FROM finding_states FINAL WHERE toString(key) = {start:String}
            UNION ALL
            SELECT event_id
            FROM event_keys
            WHERE key = {start:String} AND relation IN ('presented', 'issued') AND time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
            UNION ALL
            SELECT e.id
            FROM events AS e
            WHERE {start:String} != '' AND e.trace_id = {start:String} AND e.time >= {from:DateTime64(3)} AND e.time <= {to:DateTime64(3)}
            UNION ALL
            SELECT e.id
            FROM events AS e
            WHERE {start:String} != '' AND e.task_id = {start:String} AND e.time >= {from:DateTime64(3)} AND e.time <= {to:DateTime64(3)}
        )
    ) AS wanted,
    hours_of_ids AS (SELECT toStartOfHour(fromUnixTimestamp64Milli(toInt64(bitShiftRight(toUInt128(arrayJoin(wanted)), 80)), 'UTC')))
SELECT
    r.time AS time,
    r.tenant AS tenant,
    toString(r.state) AS state,
    r.topic AS topic,
    r.partition AS partition,
    r.offset AS offset,
    r.epoch AS epoch,
    lower(hex(r.leaf_hash)) AS leaf,
    if(c.size = 0, NULL, c.size) AS size,
    if(c.size = 0, NULL, c.signatures - 1) AS witnesses,
    toString(r.id) AS event,
    r.raw AS raw
FROM
(
    SELECT *
    FROM records
    WHERE state IN ('stored', 'duplicate', 'conflict') AND id IN (SELECT arrayJoin(wanted)) AND toStartOfHour(time) IN (SELECT * FROM hours_of_ids)
      AND ({tenant:String} = '*' OR tenant = {tenant:String})
    ORDER BY time, id, offset
    LIMIT 200
) AS r
LEFT JOIN
(
    SELECT topic, epoch, partition, base, size, max(signatures) AS signatures
    FROM checkpoints
    GROUP BY topic, epoch, partition, base, size
) AS c ON c.topic = r.topic AND c.epoch = r.epoch AND c.partition = r.partition AND r.offset < c.base + c.size
ORDER BY time, event, offset, c.size
LIMIT 1 BY topic, epoch, partition, offset
