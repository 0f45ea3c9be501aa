-- One row is the end of one incarnation of a partition's log, and the beginning of the next: what lies between was not read.
CREATE TABLE IF NOT EXISTS log_gaps
(
    topic      LowCardinality(String),
    epoch      LowCardinality(String) COMMENT 'that ended',
    partition  UInt32,
    base       UInt64,
    size       UInt64 COMMENT 'leaves of its tree at the end',
    root       FixedString(32),
    next_epoch LowCardinality(String),
    next_base  UInt64,
    lost_from  UInt64 COMMENT 'offsets that were never read; to is exclusive, and the same when none or unknown',
    lost_to    UInt64,
    reason     LowCardinality(String),
    time       DateTime64(3, 'UTC'),
    note       String COMMENT 'the signed record'
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (topic, epoch, partition)
