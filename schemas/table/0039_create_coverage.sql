-- One row is one source that was heard of in one hour with one kind of event, about one server or of one issuer.
CREATE VIEW IF NOT EXISTS coverage AS
SELECT
    tenant,
    kind,
    source_id,
    server_id,
    issuer,
    hour,
    first_time,
    last_time,
    bitCount(minutes) AS minutes_heard
FROM coverage_states FINAL
