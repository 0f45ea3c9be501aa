-- One row is one run of a source's own counter: which numbers came, and which came with two events.
CREATE TABLE IF NOT EXISTS source_sequences
(
    tenant        LowCardinality(String),
    source_id     LowCardinality(String),
    run           String COMMENT 'what stands before the number in source.event_id (RUN-N); empty when the ids are of another form',
    numbers       AggregateFunction(groupBitmap, UInt64),
    events        AggregateFunction(groupBitmap, UInt64) COMMENT 'hashes of event ids: more events than numbers is a replay',
    last_event    AggregateFunction(argMax, UUID, UInt64) COMMENT 'the event with the highest number',
    first_time    SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_time     SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    log_date      Date
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(log_date)
ORDER BY (tenant, source_id, run, log_date)
SETTINGS non_replicated_deduplication_window = 10000
