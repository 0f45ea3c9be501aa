-- One row is one server in one version of its tenant's registry. The same version written again is the same rows.
CREATE TABLE IF NOT EXISTS registry_servers
(
    tenant          LowCardinality(String),
    version         LowCardinality(String),
    id              LowCardinality(String),
    name            String,
    uris            Array(String),
    audiences       Array(String) COMMENT 'that it accepts beside id and uris',
    owner           LowCardinality(String),
    team            LowCardinality(String),
    sensitivity     LowCardinality(String) COMMENT 'public, internal, confidential, restricted; empty: not stated',
    lifecycle_state Array(LowCardinality(String)),
    lifecycle_since Array(DateTime64(6, 'UTC')) COMMENT 'from when the state of the same place holds, in order'
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, version, id)
