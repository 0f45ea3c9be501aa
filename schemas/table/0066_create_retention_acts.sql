-- One row is one thing that somebody said about how long records are kept. Rows are appended and never changed. Each is an event too, and
-- the event is what counts where it lets records be deleted: docs/adr/0028-retention.md.
CREATE TABLE IF NOT EXISTS retention_acts
(
    tenant    LowCardinality(String),
    time      DateTime64(6, 'UTC'),
    id        UUID,
    action    Enum8('set' = 1, 'held' = 2, 'released' = 3) COMMENT 'set: how long records are kept; held: they are not deleted, whatever is set',
    kind      LowCardinality(String) COMMENT 'of set: the kind of records; empty: those of kinds without a rule of their own',
    days      UInt32 COMMENT 'of set: 0 is for ever',
    hold      UUID COMMENT 'of released: the id of the act that held',
    subject   String COMMENT 'of held: whom the records name as subject, actor or in the chain; empty: anybody',
    server    String COMMENT 'of held: where; empty: anywhere',
    from_time DateTime64(6, 'UTC') COMMENT 'of held: no earlier; 1970-01-01: no bound',
    to_time   DateTime64(6, 'UTC') COMMENT 'of held: earlier; 1970-01-01: no bound',
    actor_iss LowCardinality(String),
    actor_sub String,
    reason    String,
    event_id  UUID COMMENT 'of the event of type custody.change that is the evidence of it'
)
ENGINE = MergeTree
ORDER BY (tenant, time, id)
