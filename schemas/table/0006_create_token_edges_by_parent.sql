-- The rows of token_edges, ordered to walk down.
CREATE TABLE IF NOT EXISTS token_edges_by_parent
(
    tenant        LowCardinality(String),
    parent_ref    String,
    child_ref     String,
    role          Enum8('subject' = 1, 'actor' = 2) COMMENT 'what parent was in the exchange',
    time          DateTime64(6, 'UTC'),
    event_id      UUID,
    epoch         LowCardinality(String),
    partition     UInt32,
    offset        UInt64,
    log_time      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, parent_ref, time)
SETTINGS non_replicated_deduplication_window = 10000
