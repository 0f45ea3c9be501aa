-- One row is one thing that somebody did in an access review. Rows are appended and never changed; what is said again has the same id
-- and counts once. Of several about one line the last counts.
CREATE TABLE IF NOT EXISTS review_acts
(
    tenant    LowCardinality(String),
    review    UUID,
    line      String COMMENT 'key of the line; empty: closed',
    time      DateTime64(6, 'UTC'),
    id        UUID,
    action    Enum8('certified' = 1, 'revoked' = 2, 'excepted' = 3, 'closed' = 4)
        COMMENT 'revoked: somebody is to take it away, which Custody does not',
    actor_iss LowCardinality(String),
    actor_sub String,
    until     DateTime64(6, 'UTC') COMMENT 'of excepted: when the exception ends',
    reason    String,
    event_id  UUID COMMENT 'of the event of type custody.change that is the evidence of it'
)
ENGINE = MergeTree
ORDER BY (tenant, review, line, time, id)
