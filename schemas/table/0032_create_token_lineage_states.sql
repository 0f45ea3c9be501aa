-- One row is the lineage of a token as far as it was known when it was computed; the newest counts, and the view token_lineage
-- shows it. Small granules: it is read by single tokens, of many at a time. The projection finds the tokens issued for one.
CREATE TABLE IF NOT EXISTS token_lineage_states
(
    tenant           LowCardinality(String),
    ref              String,
    parent_ref       String COMMENT 'the subject token of the exchange that issued it; empty at a root',
    other_parent_ref String COMMENT 'another one that an exchange named; the earliest exchange counts',
    issued_time      DateTime64(6, 'UTC') COMMENT 'of that exchange; 1970-01-01 at a root',
    root_ref         String COMMENT 'the first token as far as it is known; empty in a cycle and when it is too deep',
    root_iss         LowCardinality(String) COMMENT 'on whose behalf the root was issued; empty: not known',
    root_sub         String,
    root_type        LowCardinality(String),
    root_basis       Enum8('unknown' = 0, 'claim' = 1, 'delegated' = 2, 'issued' = 3)
        COMMENT 'what shows that the root is one. issued: an event of its issue; claim: nobody acted with it before, by the act claim of a token issued for it; delegated: it is none, by that claim somebody did',
    depth            UInt8 COMMENT 'exchanges from the root; 51 when it is too deep',
    state            Enum8('complete' = 1, 'pending' = 2, 'cycle' = 3, 'too_deep' = 4) COMMENT 'pending: the beginning was not seen yet',
    computed_time    DateTime64(6, 'UTC') DEFAULT now64(6),
    version          UInt64 COMMENT 'microseconds since 1970 when what it rests on was read',

    PROJECTION by_parent (SELECT tenant, parent_ref, ref ORDER BY (tenant, parent_ref, ref))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, ref)
SETTINGS index_granularity = 512, deduplicate_merge_projection_mode = 'rebuild'
