-- Is a source silent that usually is heard of?
-- Row: one source that was heard of in at least 12 hours of the range, and in at least half of those between its first and its last.
-- Units: seconds from its last event to now; more than an hour is too much.
-- Not covered: sources that come and go; sources of sessions, grants and inferred decisions only. Events count by their own time, once the verdicts have taken them in: when "custody detect" stands still, every source is silent.
-- Empty: No source is heard of so regularly.
SELECT
    tenant,
    source_id AS source,
    dateDiff('second', max(last_time), {to:DateTime64(3)}) AS silence
FROM coverage_states
WHERE hour >= toStartOfHour({from:DateTime64(3)}) AND hour <= {to:DateTime64(3)}
GROUP BY tenant, source_id
HAVING uniqExact(hour) >= 12 AND uniqExact(hour) * 2 > dateDiff('hour', min(hour), max(hour))
ORDER BY tenant, source
