-- One row is what the events that name somebody reached in one hour, as far as it was stored within one hour: as subject, as actor, or
-- further back in the act claim, so an event is in a row of each of them. Of each minute of storing the largest count is right, so it may
-- be written twice, and in parts. Read it FINAL, and of the minutes that are settled.
-- Partitioned by the clock of storing, not by the event's: what a source claims as time must not choose the number of parts.
CREATE TABLE IF NOT EXISTS reach_states
(
    tenant             LowCardinality(String),
    sub                String COMMENT 'who is named',
    iss                Array(LowCardinality(String)) COMMENT 'by which issuers'' claims, sorted',
    hour               DateTime('UTC') COMMENT 'of the events',
    stored_hour        DateTime('UTC'),
    kind               LowCardinality(String),
    server_id          LowCardinality(String),
    tool_name          LowCardinality(String),
    upstream           LowCardinality(String),
    holder_iss         LowCardinality(String) COMMENT 'with holder_sub: who acted; the subject where there is no actor',
    holder_sub         String,
    minutes            SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'how many were stored in each minute of stored_hour',
    ran                SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'of those: with outcome success or failure',
    denied             SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'of those: denied',
    first_time         SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_time          SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    server_sensitivity SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), value String)) COMMENT 'as the registry had it last; empty: it did not say',
    tool_sensitivity   SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), value String)),
    server_owner       SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), value String)),
    tool_owner         SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), value String)),
    tool_destructive   SimpleAggregateFunction(max, Bool),
    lasting            SimpleAggregateFunction(groupUniqArrayArray, Array(String))
        COMMENT 'references of tokens that were used or issued and that outlast their event by more than a day, or whose end nobody said'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(stored_hour)
ORDER BY (tenant, sub, hour, kind, server_id, tool_name, upstream, holder_iss, holder_sub, iss, stored_hour)
SETTINGS index_granularity = 1024
