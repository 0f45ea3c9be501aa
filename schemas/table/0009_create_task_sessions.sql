-- One row is one thing that happened to a task: it started, ended or was revoked (type session.started, session.ended,
-- session.revoked). Ordered to ask how a task stood at a time.
CREATE VIEW IF NOT EXISTS task_sessions AS
SELECT
    tenant,
    key AS task_id,
    time,
    other AS type,
    event_id,
    source_id,
    epoch,
    partition,
    offset,
    log_time
FROM event_keys WHERE relation = 'task'
