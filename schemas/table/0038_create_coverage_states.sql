-- One row is when a source was heard of in one hour, in a part of what was stored; the view coverage puts them together. Smallest,
-- largest and bits may be written twice. What says nothing about who is connected is not in it: a decision that a gateway inferred or
-- an engine without a policy for the server gave, an exchange that a cache answered, a credential that a scan found.
CREATE TABLE IF NOT EXISTS coverage_states
(
    tenant     LowCardinality(String),
    kind       LowCardinality(String) COMMENT 'of the events: permission_decision, token_exchange, credential, tool_invocation',
    source_id  LowCardinality(String),
    server_id  LowCardinality(String) COMMENT 'that they are about; empty: none is named',
    issuer     LowCardinality(String) COMMENT 'of the token, or of the subject where the token names none; of exchanges and credentials',
    hour       DateTime('UTC'),
    first_time SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_time  SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    minutes    SimpleAggregateFunction(groupBitOr, UInt64) COMMENT 'bit n: heard of in minute n'
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, kind, server_id, issuer, hour, source_id)
