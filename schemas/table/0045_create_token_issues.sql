-- One row is one event that says how a token came to be, or ended: an exchange that issued it, or a credential that was issued, found or
-- revoked; with what a verdict needs of it. It may be written twice. Small granules: it is read by single tokens, of many at a time. The
-- projection finds the tokens issued for one.
CREATE TABLE IF NOT EXISTS token_issues
(
    tenant        LowCardinality(String),
    ref           String,
    event_id      UUID,
    type          LowCardinality(String),
    exchanged     Bool COMMENT 'by an exchange; else a credential',
    time          DateTime64(6, 'UTC'),
    source_id     LowCardinality(String),
    parent_ref    String COMMENT 'the subject token of the exchange',
    cached        Bool COMMENT 'a cache answered with it again',
    step_up       Bool,
    expires_at    DateTime64(6, 'UTC') COMMENT '1970-01-01 is not known',
    audience      Array(LowCardinality(String)) COMMENT 'that it was asked for or issued for',
    scope         Array(LowCardinality(String)) COMMENT 'that it was asked for or issued with',
    subject_scope Array(LowCardinality(String)) COMMENT 'of the subject token, as the exchange says',

    PROJECTION by_parent (SELECT tenant, parent_ref, ref ORDER BY (tenant, parent_ref, ref))
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, ref, event_id)
SETTINGS index_granularity = 512, deduplicate_merge_projection_mode = 'rebuild'
