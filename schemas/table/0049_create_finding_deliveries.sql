-- One row is what a sink has of a finding: the newest counts.
CREATE TABLE IF NOT EXISTS finding_deliveries
(
    sink           LowCardinality(String),
    tenant         LowCardinality(String),
    key            FixedString(64),
    revision       String COMMENT 'of the finding as it was given, or given up; empty: it is to be given again',
    updated_time   DateTime64(6, 'UTC') COMMENT 'of the finding then; empty revision: when somebody wanted it',
    delivered_time DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(delivered_time)
ORDER BY (sink, tenant, key)
