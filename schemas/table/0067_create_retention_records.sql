-- One row is one signed record of records that were deleted because their time was over. Whoever checks trusts the signature in note.
CREATE TABLE IF NOT EXISTS retention_records
(
    tenant       LowCardinality(String),
    id           UUID,
    topic        LowCardinality(String),
    epoch        LowCardinality(String),
    partition    UInt32,
    base         UInt64 COMMENT 'offset of the tree''s first leaf',
    first_offset UInt64,
    last_offset  UInt64,
    count        UInt64 COMMENT 'records of the tenant between them that were deleted',
    kind         LowCardinality(String) COMMENT 'of the rule; empty: that of kinds without one of their own',
    days         UInt32 COMMENT 'of the rule',
    before       DateTime64(3, 'UTC') COMMENT 'they came to the log earlier',
    digest       FixedString(32) COMMENT 'SHA-256 over their offsets and leaf hashes',
    time         DateTime64(6, 'UTC'),
    event_id     UUID COMMENT 'of the event of type custody.expired that says the same',
    note         String COMMENT 'what the log''s key signed' CODEC(ZSTD(1)),
    deleted_time DateTime64(6, 'UTC') COMMENT 'when nothing of them was left; 1970-01-01: some are still there'
)
ENGINE = ReplacingMergeTree(deleted_time)
ORDER BY (tenant, topic, epoch, partition, first_offset, id)
