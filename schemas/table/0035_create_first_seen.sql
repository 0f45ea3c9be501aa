-- One row is one thing that somebody was seen with: since when, by which event, and until when.
CREATE VIEW IF NOT EXISTS first_seen AS
SELECT
    tenant,
    what,
    iss,
    sub,
    object,
    first.1 AS first_time,
    first.2 AS first_event_id,
    last_time
FROM first_seen_states FINAL
