-- Which source is silent, slow, ahead of time or losing events?
-- Row: one source of one tenant.
-- Units: "silence" seconds from its last event to the end of the range; "delay" seconds from the event to its receipt by the collector, for 95 of 100; "ahead" events whose time is later than their receipt: the source's clock is wrong; "missing" numbers of its own counter that did not arrive, empty for a source that does not count; "repeated" re-deliveries, "conflicts" ids that came again with other contents; "warnings" events that the collector had to change.
-- Not covered: sources without an event in the range.
-- Empty: No source sent an event in this range.
SELECT
    tenant,
    source_id AS source,
    any(source_type) AS type,
    countIf(state = 'stored') AS events,
    max(time) AS last,
    dateDiff('second', max(time), {to:DateTime64(3)}) AS silence,
    quantileExactIf(0.95)(dateDiff('millisecond', time, observed_time), state = 'stored') / 1000 AS delay,
    countIf(time > observed_time) AS ahead,
    if(max(source_sequence) = 0, NULL, toInt64(max(source_sequence)) - toInt64(minIf(source_sequence, source_sequence > 0)) + 1 - toInt64(uniqExactIf(source_sequence, source_sequence > 0))) AS missing,
    countIf(state = 'duplicate') AS repeated,
    countIf(state = 'conflict') AS conflicts,
    countIf(notEmpty(warnings)) AS warnings
FROM records
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND state != 'malformed'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
GROUP BY tenant, source
ORDER BY silence DESC, tenant, source
LIMIT 1000
