-- Fills token_use from every event that names a token.
CREATE MATERIALIZED VIEW IF NOT EXISTS token_use_view TO token_use AS
SELECT
    tenant,
    used.1 AS ref,
    used.2 AS role,
    time,
    id AS event_id,
    kind,
    server_id,
    epoch,
    partition,
    offset,
    log_time
FROM records
ARRAY JOIN [(token_ref, 'presented'), (exchange_issued_token_ref, 'issued')] AS used
WHERE state = 'stored' AND used.1 != ''
