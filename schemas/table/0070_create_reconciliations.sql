-- One row is one cycle of the reconciliation that came to its end: how much was read again, and at how many places it was not as sealed.
CREATE TABLE IF NOT EXISTS reconciliations
(
    began         DateTime64(6, 'UTC'),
    ended         DateTime64(6, 'UTC'),
    `full`        Bool COMMENT 'every record was read again; else what was new',
    trees         UInt32,
    records       UInt64,
    discrepancies UInt64 COMMENT 'places, of all tenants; seal_discrepancies has what they are'
)
ENGINE = MergeTree
ORDER BY (ended, began)
TTL toDateTime(ended) + INTERVAL 1 YEAR
