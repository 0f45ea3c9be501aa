-- One row is one principal in one version of its tenant's registry. The same version written again is the same rows.
CREATE TABLE IF NOT EXISTS registry_principals
(
    tenant          LowCardinality(String),
    version         LowCardinality(String),
    iss             LowCardinality(String),
    sub             String COMMENT 'ends in * for all that begin so',
    type            LowCardinality(String),
    name            String,
    owner           LowCardinality(String),
    team            LowCardinality(String),
    lifecycle_state Array(LowCardinality(String)),
    lifecycle_since Array(DateTime64(6, 'UTC')) COMMENT 'from when the state of the same place holds, in order'
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, version, iss, sub)
