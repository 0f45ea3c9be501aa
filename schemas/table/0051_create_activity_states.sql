-- One row is how often somebody did one thing in one hour, as far as it was stored within one hour; the view activity_hourly puts the
-- hours of storing together. Of each minute of storing the largest count is right, so it may be written twice, and in parts.
-- Partitioned by the clock of storing, not by the event's: what a source claims as time must not choose the number of parts.
CREATE TABLE IF NOT EXISTS activity_states
(
    tenant      LowCardinality(String),
    iss         LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    sub         String,
    hour        DateTime('UTC') COMMENT 'of the events',
    stored_hour DateTime('UTC'),
    type        LowCardinality(String) COMMENT 'of the events',
    server_id   LowCardinality(String),
    tool_name   LowCardinality(String),
    outcome     LowCardinality(String) COMMENT 'of a decision: its effect',
    minutes     SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'how many were stored in each minute of stored_hour',
    first       SimpleAggregateFunction(min, Tuple(time DateTime64(6, 'UTC'), event_id UUID)),
    last_time   SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(stored_hour)
ORDER BY (tenant, iss, sub, hour, stored_hour, type, server_id, tool_name, outcome)
SETTINGS index_granularity = 1024
