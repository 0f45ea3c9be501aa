-- One row is one block of which rows may have been missing in the views for a while, until the next processor completed it: who goes by
-- what is stored and looks at the views too looks again.
CREATE TABLE IF NOT EXISTS completed_blocks
(
    completed_time DateTime64(6, 'UTC') DEFAULT now64(6),
    stored_time    DateTime64(6, 'UTC') COMMENT 'the earliest of its records'
)
ENGINE = MergeTree
ORDER BY completed_time
TTL toDateTime(completed_time) + INTERVAL 1 DAY
