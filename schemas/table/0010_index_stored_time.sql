-- Detections read what was stored since they last looked: within a part, the marks of one hour hold stored times of that hour.
ALTER TABLE records ADD INDEX IF NOT EXISTS by_stored_time stored_time TYPE minmax GRANULARITY 1
