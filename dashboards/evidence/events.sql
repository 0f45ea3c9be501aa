-- Which events does it rest on?
-- Row: one event: the one whose id is given, those of the finding whose key is given, or those of the range with that token, trace or task.
-- Units: none.
-- Not covered: with a token, trace or task, events outside the range. The first 500.
-- Empty: "Start" is neither the id of an event, nor the key of a finding, nor a token, trace or task of this range.
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
    time,
    tenant,
    kind,
    type,
    outcome,
    subject_sub AS subject,
    actor_sub AS actor,
    server_id AS server,
    tool_name AS tool,
    if(decision_effect != '', concat(decision_effect, ' ', decision_reason), '') AS decision,
    token_ref AS token,
    trace_id AS trace,
    source_id AS source,
    toString(id) AS event
FROM events
WHERE id IN (SELECT arrayJoin(wanted)) AND toStartOfHour(time) IN (SELECT * FROM hours_of_ids)
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
ORDER BY time, id
LIMIT 500
