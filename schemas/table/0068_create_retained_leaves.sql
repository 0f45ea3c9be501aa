-- One row is what is left of one deleted record: its leaf of the tree, so that the tree can be computed without it.
CREATE TABLE IF NOT EXISTS retained_leaves
(
    tenant    LowCardinality(String),
    topic     LowCardinality(String),
    epoch     LowCardinality(String),
    partition UInt32,
    offset    UInt64 CODEC(Delta, ZSTD(1)),
    leaf_hash FixedString(32) CODEC(NONE),
    id        UUID COMMENT 'of the event that it was; zero: none',
    record    UUID COMMENT 'the row of retention_records'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, epoch, partition, offset, record)
SETTINGS index_granularity = 2048
