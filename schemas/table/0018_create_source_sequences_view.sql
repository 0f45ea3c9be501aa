-- Fills source_sequences from every event that its source numbered.
CREATE MATERIALIZED VIEW IF NOT EXISTS source_sequences_view TO source_sequences AS
SELECT
    tenant,
    source_id,
    if(endsWith(source_event_id, concat('-', toString(source_sequence))), substring(source_event_id, 1, length(source_event_id) - length(toString(source_sequence)) - 1), '') AS run,
    groupBitmapState(toUInt64(source_sequence)) AS numbers,
    groupBitmapState(cityHash64(id)) AS events,
    argMaxState(id, toUInt64(source_sequence)) AS last_event,
    min(time) AS first_time,
    max(time) AS last_time,
    toDate(log_time) AS log_date
FROM records
WHERE state = 'stored' AND source_sequence > 0
GROUP BY tenant, source_id, run, log_date
