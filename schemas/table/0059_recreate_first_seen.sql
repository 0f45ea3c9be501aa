-- One row is one thing that somebody was seen with, as before, audiences too. A view keeps the types of when it was made, so it is made anew.
CREATE OR REPLACE VIEW first_seen AS
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
