-- One row is one thing that happened to a finding: what the detections made of it (opened, auto_resolved, reappeared), or what somebody
-- did about it. Rows are appended and never changed; what is said again has the same id and counts once.
CREATE TABLE IF NOT EXISTS finding_history
(
    tenant     LowCardinality(String),
    key        FixedString(64) COMMENT 'of the finding',
    time       DateTime64(6, 'UTC'),
    id         UUID,
    action     Enum8('opened' = 1, 'auto_resolved' = 2, 'reappeared' = 3, 'acknowledged' = 4, 'assigned' = 5, 'commented' = 6, 'resolved' = 7, 'excepted' = 8, 'reopened' = 9)
        COMMENT 'reappeared: open again after auto_resolved; reopened: somebody wants it looked at again',
    actor_iss  LowCardinality(String),
    actor_sub  String COMMENT 'who did it; empty: the detections',
    assignee   String COMMENT 'of assigned; empty: nobody any more',
    until      DateTime64(6, 'UTC') COMMENT 'of excepted: when the exception ends',
    comment    String COMMENT 'why, in the words of the actor or of the rule',
    last_seen  DateTime64(6, 'UTC') COMMENT 'of the finding as the actor saw it',
    evidence   Array(UUID) COMMENT 'of the finding as the actor saw it: what comes on top opens a resolved one again',
    event_id   UUID COMMENT 'of the event of type custody.change that is the evidence of it; zero for the detections'
)
ENGINE = MergeTree
ORDER BY (tenant, key, time, id)
