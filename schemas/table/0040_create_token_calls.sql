-- One row is the first call that was carried out with a token, in a part of what was stored; the smallest of them counts, however
-- often it is written. Calls after it reuse the token's exchange. Small granules: it is read by single tokens.
CREATE TABLE IF NOT EXISTS token_calls
(
    tenant LowCardinality(String),
    ref    String,
    first  SimpleAggregateFunction(min, Tuple(time DateTime64(6, 'UTC'), event_id UUID, server_id String))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, ref)
SETTINGS index_granularity = 512
