-- Fills source_sequences from every event that its source numbered.
CREATE MATERIALIZED VIEW IF NOT EXISTS source_sequences_view TO source_sequences AS
SELECT
    tenant,
    source_id,
    if(endsWith(source_event_id, concat('-', toString(source_sequence))), substring(source_event_id, 1, length(source_event_id) - length(toString(source_sequence)) - 1), '') AS run,
    source_sequence AS sequence,
    id AS event_id,
    time,
    stored_time,
    epoch,
    partition,
    offset,
    log_time
FROM records
WHERE state = 'stored' AND source_sequence > 0
