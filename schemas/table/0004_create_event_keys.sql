-- One row is one way to find an event by what it names: a token that was presented or issued, an issued token with the one it was
-- issued for, and the other way round, a task. It is one table, because every part that an insert makes costs like thousands of rows;
-- token_use, token_edges, token_edges_by_parent and task_sessions are how it is read. By month: a token is looked for in all of time, and
-- each part that there is costs the same, whatever it holds.
CREATE TABLE IF NOT EXISTS event_keys
(
    tenant        LowCardinality(String),
    relation      Enum8('presented' = 1, 'issued' = 2, 'subject_parent' = 3, 'actor_parent' = 4, 'subject_child' = 5, 'actor_child' = 6, 'task' = 7)
        COMMENT 'what key is: the token presented; the token an exchange issued; the same, with other the subject or actor token it was issued for; that token, with other the one issued; a task, with other what happened to it',
    key           String,
    other         String,
    time          DateTime64(6, 'UTC'),
    event_id      UUID,
    kind          LowCardinality(String),
    source_id     LowCardinality(String),
    server_id     LowCardinality(String),
    epoch         LowCardinality(String),
    partition     UInt32,
    offset        UInt64,
    log_time      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(log_time)
ORDER BY (tenant, relation, key, time)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 512
