-- One row is one thing that somebody did in one hour: how often, first when and by which event, and last when.
CREATE VIEW IF NOT EXISTS activity_hourly AS
SELECT
    tenant,
    iss,
    sub,
    hour,
    type,
    server_id,
    tool_name,
    outcome,
    sum(arraySum(mapValues(minutes))) AS events,
    min(first) AS first_event,
    max(last_time) AS last_time
FROM activity_states FINAL
GROUP BY tenant, iss, sub, hour, type, server_id, tool_name, outcome
