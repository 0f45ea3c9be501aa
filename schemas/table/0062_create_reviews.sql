-- One row is one access review, as it was frozen when it was created: whose privilege is looked at, at which checkpoints of the log, and
-- what cannot be judged line by line. Rows are appended and never changed. It is written after its lines.
CREATE TABLE IF NOT EXISTS reviews
(
    tenant       LowCardinality(String),
    id           UUID,
    created_time DateTime64(6, 'UTC'),
    frozen       String COMMENT 'JSON: scope, checkpoints, owners that are missing, decisions, coverage, gaps, samples' CODEC(ZSTD(3)),
    digest       FixedString(64) COMMENT 'SHA-256 of frozen and of the bodies of the lines in their order, hexadecimal; the event has it too',
    event_id     UUID COMMENT 'of the event of type custody.change that is the evidence of it'
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, id)
