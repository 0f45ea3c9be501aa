-- One row is one node of a Merkle tree over a partition's records: 2^level leaves, complete, from level 8 on. It never changes, so a
-- row that is written twice is the same row; two different hashes at one position are a sign of tampering.
CREATE TABLE IF NOT EXISTS tree_nodes
(
    topic     LowCardinality(String),
    epoch     LowCardinality(String) COMMENT 'incarnation of the partition''s log; leaf i is the record at offset base + i',
    partition UInt32 CODEC(ZSTD(1)),
    level     UInt8 CODEC(ZSTD(1)),
    `index`   UInt64 COMMENT 'the node is over the leaves from index * 2^level' CODEC(Delta, ZSTD(1)),
    hash      FixedString(32) CODEC(NONE)
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, epoch, partition, level, `index`)
