-- Which sources tell of it, since when are they silent, and what did they not deliver?
-- Row: one source of one tenant.
-- Units: "silence" seconds from its last event to the end of the range; "missing" numbers of its own counter that did not arrive, empty for a source that does not count; "repeated" re-deliveries, "conflicts" events whose id came with other contents.
-- Not covered: sources without an event in the range; a number that is missing before the first or behind the last one seen. The variables server and agent do not apply.
-- Empty: No source sent an event in this range.
SELECT
    tenant,
    source_id AS source,
    any(source_type) AS type,
    arrayStringConcat(arraySort(groupUniqArray(kind)), ' ') AS kinds,
    countIf(state = 'stored') AS events,
    max(time) AS last,
    dateDiff('second', max(time), {to:DateTime64(3)}) AS silence,
    if(max(source_sequence) = 0, NULL, toInt64(max(source_sequence)) - toInt64(minIf(source_sequence, source_sequence > 0)) + 1 - toInt64(uniqExactIf(source_sequence, source_sequence > 0))) AS missing,
    countIf(state = 'duplicate') AS repeated,
    countIf(state = 'conflict') AS conflicts
FROM records
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND state != 'malformed'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
GROUP BY tenant, source
ORDER BY tenant, source
LIMIT 1000
