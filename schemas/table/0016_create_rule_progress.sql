-- One row is how far a rule has judged; the newest counts.
CREATE TABLE IF NOT EXISTS rule_progress
(
    rule         LowCardinality(String),
    watermark    DateTime64(6, 'UTC') COMMENT 'everything stored before was judged',
    changed_time DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_time)
ORDER BY rule
