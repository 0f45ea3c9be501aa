-- Fills task_sessions from every event about a session that names its task.
CREATE MATERIALIZED VIEW IF NOT EXISTS task_sessions_view TO task_sessions AS
SELECT
    tenant,
    task_id,
    time,
    type,
    id AS event_id,
    source_id,
    epoch,
    partition,
    offset,
    log_time
FROM records
WHERE state = 'stored' AND kind = 'session' AND task_id != ''
