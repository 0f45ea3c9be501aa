-- One row is one event in which a token was presented, issued, listed or revoked: where to look for all that a token touched. Role
-- issued: the answer of an exchange.
CREATE VIEW IF NOT EXISTS token_use AS
SELECT
    tenant,
    key AS ref,
    toString(relation) AS role,
    time,
    event_id,
    kind,
    server_id,
    epoch,
    partition,
    offset,
    log_time
FROM event_keys WHERE relation IN ('presented', 'issued')
