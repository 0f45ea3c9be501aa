-- One row is one tool in one version of its tenant's registry. The same version written again is the same rows.
CREATE TABLE IF NOT EXISTS registry_tools
(
    tenant      LowCardinality(String),
    version     LowCardinality(String),
    server_id   LowCardinality(String),
    name        String COMMENT 'ends in * for all that begin so',
    owner       LowCardinality(String) COMMENT 'empty: the server''s',
    sensitivity LowCardinality(String) COMMENT 'empty: the server''s',
    scopes      Array(LowCardinality(String)) COMMENT 'that a call needs; empty: not stated',
    destructive Bool
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, version, server_id, name)
