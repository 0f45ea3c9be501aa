-- One row is one state of a finding as the detections left it; the newest counts, and the view findings shows it.
-- Not partitioned: the states of one finding must meet to replace each other.
CREATE TABLE IF NOT EXISTS finding_states
(
    tenant           LowCardinality(String),
    key              FixedString(64) COMMENT 'hex SHA-256 of tenant, rule and subject_key: the same finding has the same key whoever finds it',
    rule             LowCardinality(String),
    rule_version     UInt32 COMMENT 'version that judged last; not part of the key',
    subject_key      Array(String) COMMENT 'what the finding is about, in the words of its rule',
    severity         Enum8('info' = 1, 'low' = 2, 'medium' = 3, 'high' = 4, 'critical' = 5),
    status           Enum8('open' = 1, 'auto_resolved' = 2) COMMENT 'auto_resolved: what came later shows that it is not so, or not so any more',
    title            String,
    summary          String COMMENT 'one sentence with the facts',
    subject_sub      String,
    actor_sub        String,
    server_id        LowCardinality(String),
    tool_name        LowCardinality(String),
    token_ref        String,
    task_id          String,
    trace_id         String,
    evidence         Array(UUID) COMMENT 'ids of the events it rests on, oldest first; at most 100: the first and the last 50',
    first_seen       DateTime64(6, 'UTC') COMMENT 'time of the oldest event of the evidence',
    last_seen        DateTime64(6, 'UTC') COMMENT 'time of the newest event of the evidence',
    coverage         Enum8('recorded' = 1, 'absence' = 2) COMMENT 'recorded: it rests on what is there; absence: also on what is not there, within coverage_note',
    coverage_note    String COMMENT 'how far the conclusion goes',
    coverage_sources Array(LowCardinality(String)) COMMENT 'sources it relies on',
    opened_time      DateTime64(6, 'UTC') COMMENT 'when the finding was first made',
    changed_time     DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_time)
ORDER BY (tenant, key)
