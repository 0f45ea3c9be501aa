-- One row is what the events that name somebody reached in one day, as far as it was stored on one day: reach_states added up, after the
-- day of storing was settled. It may be written twice, the same each time.
CREATE TABLE IF NOT EXISTS reach_days
(
    tenant             LowCardinality(String),
    sub                String COMMENT 'who is named',
    iss                Array(LowCardinality(String)) COMMENT 'by which issuers'' claims, sorted',
    day                Date COMMENT 'of the events',
    stored_day         Date,
    kind               LowCardinality(String),
    server_id          LowCardinality(String),
    tool_name          LowCardinality(String),
    upstream           LowCardinality(String),
    holder_iss         LowCardinality(String) COMMENT 'with holder_sub: who acted; the subject where there is no actor',
    holder_sub         String,
    events             UInt64,
    ran                UInt64 COMMENT 'of those: with outcome success or failure',
    denied             UInt64 COMMENT 'of those: denied',
    first_time         DateTime64(6, 'UTC'),
    last_time          DateTime64(6, 'UTC'),
    server_sensitivity Tuple(time DateTime64(6, 'UTC'), value String) COMMENT 'as the registry had it last; empty: it did not say',
    tool_sensitivity   Tuple(time DateTime64(6, 'UTC'), value String),
    server_owner       Tuple(time DateTime64(6, 'UTC'), value String),
    tool_owner         Tuple(time DateTime64(6, 'UTC'), value String),
    tool_destructive   Bool,
    lasting            Array(String)
        COMMENT 'references of tokens that were used or issued and that outlast their event by more than a day, or whose end nobody said'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(stored_day)
ORDER BY (tenant, sub, day, kind, server_id, tool_name, upstream, holder_iss, holder_sub, iss, stored_day)
SETTINGS index_granularity = 1024
