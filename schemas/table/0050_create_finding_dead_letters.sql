-- One row is one message about a finding that a sink did not take, and that was given up.
CREATE TABLE IF NOT EXISTS finding_dead_letters
(
    tenant   LowCardinality(String),
    time     DateTime64(6, 'UTC') COMMENT 'when it was given up',
    sink     LowCardinality(String),
    key      FixedString(64) COMMENT 'of the finding',
    id       UUID COMMENT 'of the message',
    attempts UInt32,
    error    String COMMENT 'of the last attempt',
    payload  String COMMENT 'what was to be delivered'
)
ENGINE = MergeTree
ORDER BY (tenant, time, sink, key)
TTL toDateTime(time) + INTERVAL 90 DAY
