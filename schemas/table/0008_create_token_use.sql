-- One row is one event in which a token was presented, issued, listed or revoked: where to look for all that a token touched.
CREATE TABLE IF NOT EXISTS token_use
(
    tenant        LowCardinality(String),
    ref           String,
    role          Enum8('presented' = 1, 'issued' = 2) COMMENT 'issued: the answer of an exchange',
    time          DateTime64(6, 'UTC'),
    event_id      UUID,
    kind          LowCardinality(String),
    server_id     LowCardinality(String),
    epoch         LowCardinality(String),
    partition     UInt32,
    offset        UInt64,
    log_time      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, ref, time)
SETTINGS non_replicated_deduplication_window = 10000
