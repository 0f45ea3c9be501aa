-- One row is an address by which a server was called, so that the audience of a token names the server. It may be written twice.
CREATE TABLE IF NOT EXISTS server_addresses
(
    tenant    LowCardinality(String),
    address   String,
    server_id LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, address, server_id)
