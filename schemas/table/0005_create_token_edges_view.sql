-- Fills token_edges from every exchange that issued a token.
CREATE MATERIALIZED VIEW IF NOT EXISTS token_edges_view TO token_edges AS
SELECT
    tenant,
    exchange_issued_token_ref AS child_ref,
    edge.1 AS parent_ref,
    edge.2 AS role,
    time,
    id AS event_id,
    epoch,
    partition,
    offset,
    log_time
FROM records
ARRAY JOIN [(exchange_subject_token_ref, 'subject'), (exchange_actor_token_ref, 'actor')] AS edge
WHERE state = 'stored' AND kind = 'token_exchange' AND exchange_issued_token_ref != '' AND edge.1 != ''
