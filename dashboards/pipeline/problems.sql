-- Which records were malformed or in conflict, and why?
-- Row: one problem of one state and source.
-- Units: records. A malformed record is in the dead-letter topic too, with its bytes; it names no tenant and no source.
-- Not covered: events that the collector refused: they are in no log, their source was told.
-- Empty: Every record of this range is an event or a re-delivery.
SELECT
    toString(state) AS state,
    problem,
    tenant,
    source_id AS source,
    count() AS records,
    min(log_time) AS first,
    max(log_time) AS last,
    concat(argMax(topic, log_time), '/', toString(argMax(partition, log_time)), '@', toString(argMax(offset, log_time))) AS last_record
FROM records
WHERE log_time >= {from:DateTime64(3)} AND log_time <= {to:DateTime64(3)}
  AND state IN ('malformed', 'conflict')
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
GROUP BY state, problem, tenant, source
ORDER BY records DESC, last DESC
LIMIT 500
