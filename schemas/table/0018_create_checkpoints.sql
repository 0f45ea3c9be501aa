-- One row is one signed head of a Merkle tree (c2sp.org/tlog-checkpoint); the one with most signatures stays. What is here is for
-- looking things up: whoever checks trusts the signature in note, and for what is the newest, the copy outside.
CREATE TABLE IF NOT EXISTS checkpoints
(
    topic      LowCardinality(String),
    epoch      LowCardinality(String),
    partition  UInt32,
    base       UInt64 COMMENT 'offset of the first leaf',
    size       UInt64 COMMENT 'leaves: it covers the offsets from base to base + size - 1',
    root       FixedString(32) CODEC(NONE),
    signatures UInt32 COMMENT 'of the log and of witnesses',
    time       DateTime64(3, 'UTC') COMMENT 'when it was signed, by the signer''s clock',
    note       String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(signatures)
ORDER BY (topic, epoch, partition, size)
