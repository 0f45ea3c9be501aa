-- One row is one tool call as it was judged last, as far as that is known from the events that belong to it; the newest counts, and
-- the view verdicts shows it with what the sources heard of say about what is absent. Partitioned by the log's clock, which no judgement
-- changes.
CREATE TABLE IF NOT EXISTS verdict_states
(
    tenant                  LowCardinality(String),
    id                      UUID COMMENT 'of the call',
    time                    DateTime64(6, 'UTC') COMMENT 'of the call',
    log_time                DateTime64(3, 'UTC') COMMENT 'of the call',
    source_id               LowCardinality(String),
    server_id               LowCardinality(String),
    tool_name               LowCardinality(String),
    subject_sub             String,
    actor_sub               String,
    token_ref               String,
    trace_id                String,
    outcome                 LowCardinality(String),
    decision_state          Enum8('none' = 0, 'decided_allow' = 1, 'decided_deny_but_ran' = 2, 'denied' = 3, 'undecided' = 4),
    decision_event          UUID COMMENT 'the decision that counts; zero: none',
    decision_join           Enum8('' = 0, 'trace' = 1, 'trace_jsonrpc' = 2, 'token_jsonrpc' = 3, 'decision_id' = 4) COMMENT 'by what it was found',
    decision_effect         LowCardinality(String),
    decision_time           DateTime64(6, 'UTC') COMMENT '1970-01-01: none',
    decision_source         LowCardinality(String),
    decision_engine         LowCardinality(String),
    decision_policy         LowCardinality(String),
    decision_policy_version LowCardinality(String),
    token_state             Enum8('none' = 0, 'legitimate' = 1, 'passthrough' = 2, 'static' = 3, 'absent' = 4, 'expired' = 5)
        COMMENT 'none: no event of its issue was seen',
    token_event             UUID COMMENT 'the exchange or the issue that made the token; zero: none was seen',
    token_source            LowCardinality(String) COMMENT 'of that event',
    token_issuer            LowCardinality(String) COMMENT 'of the token, or of the subject where the token names none',
    token_time              DateTime64(6, 'UTC') COMMENT 'when it was issued, as far as is known; else of the call',
    exchange_verdict        Enum8('unknown' = 0, 'none' = 1, 'exact' = 2, 'narrowed' = 3, 'widening' = 4, 'step_up' = 5, 'cached' = 6),
    exchange_scope_added    Array(String) COMMENT 'granted, and not in the subject token',
    digest                  UInt64 COMMENT 'of all of it: what did not change is not written again',
    version                 UInt64 COMMENT 'microseconds since 1970 when what it rests on was read'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, toStartOfHour(time), id)
