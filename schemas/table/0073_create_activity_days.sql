-- One row is how often somebody did one thing in one day, as far as it was stored on one day: activity_states added up, after the day of
-- storing was settled. It may be written twice, the same each time.
CREATE TABLE IF NOT EXISTS activity_days
(
    tenant     LowCardinality(String),
    iss        LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    sub        String,
    day        Date COMMENT 'of the events',
    stored_day Date,
    type       LowCardinality(String) COMMENT 'of the events',
    server_id  LowCardinality(String),
    tool_name  LowCardinality(String),
    outcome    LowCardinality(String) COMMENT 'of a decision: its effect',
    events     UInt64,
    first_time DateTime64(6, 'UTC'),
    last_time  DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(stored_day)
ORDER BY (tenant, iss, sub, day, type, server_id, tool_name, outcome, stored_day)
SETTINGS index_granularity = 1024
