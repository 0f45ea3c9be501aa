-- One row is one event that its source numbered. Ordered to ask which numbers of a run came, and what came under one of them.
-- The projection holds about a bit for each number, so that judging a run of millions does not read millions of rows.
CREATE TABLE IF NOT EXISTS source_sequences
(
    tenant        LowCardinality(String),
    source_id     LowCardinality(String),
    run           String COMMENT 'what stands before the number in source.event_id (RUN-N); empty when the ids are of another form',
    sequence      UInt64,
    event_id      UUID,
    time          DateTime64(6, 'UTC'),
    stored_time   DateTime64(6, 'UTC'),
    epoch         LowCardinality(String),
    partition     UInt32,
    offset        UInt64,
    log_time      DateTime64(3, 'UTC'),

    INDEX by_stored_time stored_time TYPE minmax GRANULARITY 1,
    PROJECTION blocks
    (
        SELECT tenant, source_id, run, intDiv(sequence, 65536), groupBitmapState(sequence), count()
        GROUP BY tenant, source_id, run, intDiv(sequence, 65536)
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, source_id, run, sequence)
SETTINGS non_replicated_deduplication_window = 10000, lightweight_mutation_projection_mode = 'rebuild'
