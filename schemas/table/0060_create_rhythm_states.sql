-- One row is how often somebody called one tool in one hour, as far as it was stored within one hour: as activity_states, of calls only,
-- and in the order of the hours of the week. So what somebody does at this time of the week, and who else does so, lies together, and
-- the rest is not read; the granules are small. Of each minute of storing the largest count is right, as there.
CREATE TABLE IF NOT EXISTS rhythm_states
(
    tenant      LowCardinality(String),
    week_hour   UInt8 COMMENT 'hour of the week of the calls, UTC: 0 begins on Mondays at 0:00',
    iss         LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    sub         String,
    hour        DateTime('UTC') COMMENT 'of the calls',
    stored_hour DateTime('UTC'),
    server_id   LowCardinality(String),
    tool_name   LowCardinality(String),
    outcome     LowCardinality(String),
    minutes     SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'how many were stored in each minute of stored_hour',
    first       SimpleAggregateFunction(min, Tuple(time DateTime64(6, 'UTC'), event_id UUID)),
    last_time   SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(stored_hour)
ORDER BY (tenant, week_hour, iss, sub, hour, stored_hour, server_id, tool_name, outcome)
SETTINGS index_granularity = 256
