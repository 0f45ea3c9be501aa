-- What was stored before the view existed: without it every run that goes on would begin with a gap.
INSERT INTO source_sequences (tenant, source_id, run, sequence, event_id, time, stored_time, epoch, partition, offset, log_time)
SELECT
    tenant,
    source_id,
    if(endsWith(source_event_id, concat('-', toString(source_sequence))), substring(source_event_id, 1, length(source_event_id) - length(toString(source_sequence)) - 1), '') AS run,
    source_sequence,
    id,
    time,
    stored_time,
    epoch,
    partition,
    offset,
    log_time
FROM records
WHERE state = 'stored' AND source_sequence > 0 AND (epoch, partition, offset) NOT IN (SELECT epoch, partition, offset FROM source_sequences)
SETTINGS max_partitions_per_insert_block = 0
