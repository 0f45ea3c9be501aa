-- One row is one thing that happened to a task: it started, ended or was revoked. Ordered to ask how a task stood at a time.
CREATE TABLE IF NOT EXISTS task_sessions
(
    tenant        LowCardinality(String),
    task_id       String,
    time          DateTime64(6, 'UTC'),
    type          LowCardinality(String) COMMENT 'session.started, session.ended, session.revoked',
    event_id      UUID,
    source_id     LowCardinality(String),
    epoch         LowCardinality(String),
    partition     UInt32,
    offset        UInt64,
    log_time      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, task_id, time)
SETTINGS non_replicated_deduplication_window = 10000
