-- One row is one place where stored records differ from what was sealed, for one tenant that has records there or beside, as the
-- reconciliation found it. What the kinds are: docs/auditor.md.
CREATE TABLE IF NOT EXISTS seal_discrepancies
(
    tenant       LowCardinality(String) COMMENT 'empty when nothing tells whose the records were',
    topic        LowCardinality(String),
    epoch        LowCardinality(String),
    partition    UInt32,
    kind         LowCardinality(String) COMMENT 'edited, deleted, inserted, duplicated, hidden, restored, nodes, checkpoint, fork, rolled_back',
    first_offset UInt64,
    last_offset  UInt64,
    detail       String,
    evidence     Array(UUID) COMMENT 'the tenant''s events there, as they are stored now; at most 100',
    found_time   DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(found_time)
ORDER BY (tenant, topic, epoch, partition, kind, first_offset, last_offset)
