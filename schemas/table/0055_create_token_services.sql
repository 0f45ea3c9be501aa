-- One row is how many tasks and sessions one token served, in a part of what was stored. Distinct values may be written twice.
CREATE TABLE IF NOT EXISTS token_services
(
    tenant    LowCardinality(String),
    iss       LowCardinality(String) COMMENT 'with sub: who presented it',
    sub       String,
    ref       String,
    last_time SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    tasks     AggregateFunction(uniqCombined64(12), String),
    sessions  AggregateFunction(uniqCombined64(12), String)
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, iss, sub, ref)
