-- Which schema changes were applied, by whom they can be checked: one row is one migration file.
CREATE TABLE IF NOT EXISTS migrations
(
    id         UInt32,
    name       String,
    sha256     FixedString(64) COMMENT 'hex SHA-256 of the file',
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY id
