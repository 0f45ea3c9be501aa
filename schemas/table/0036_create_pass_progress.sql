-- One row is how far a later pass of the enrichment has come; the newest counts.
CREATE TABLE IF NOT EXISTS pass_progress
(
    pass         LowCardinality(String),
    watermark    DateTime64(6, 'UTC') COMMENT 'everything stored before was taken in',
    changed_time DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_time)
ORDER BY pass
