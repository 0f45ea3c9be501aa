-- What is not added up by day yet is found by when it was stored.
ALTER TABLE activity_states ADD INDEX IF NOT EXISTS stored_hours stored_hour TYPE minmax GRANULARITY 1
