-- One row is one time from which a version of a tenant's registry was in force where it was loaded. It is written after the
-- version's entries. What was true at a time is the newest row before it; an event has the version that it was judged by.
CREATE TABLE IF NOT EXISTS registry_versions
(
    tenant     LowCardinality(String),
    since      DateTime64(6, 'UTC'),
    version    String COMMENT 'digest of the contents; empty: the tenant has no registry any more',
    origin     LowCardinality(String) COMMENT 'file: a processor read it; import: somebody stored it',
    principals UInt32,
    servers    UInt32,
    tools      UInt32
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, since, version)
