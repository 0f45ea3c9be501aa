-- Fills event_keys from every event that names a token or starts or ends a task.
CREATE MATERIALIZED VIEW IF NOT EXISTS event_keys_view TO event_keys AS
SELECT
    tenant,
    found.1 AS relation,
    found.2 AS key,
    found.3 AS other,
    time,
    id AS event_id,
    kind,
    source_id,
    server_id,
    epoch,
    partition,
    offset,
    log_time
FROM records
ARRAY JOIN arrayFilter(k -> k.2 != '', [
    ('presented', token_ref, ''),
    ('issued', exchange_issued_token_ref, ''),
    ('subject_parent', if(kind = 'token_exchange' AND exchange_subject_token_ref != '', exchange_issued_token_ref, ''), exchange_subject_token_ref),
    ('actor_parent', if(kind = 'token_exchange' AND exchange_actor_token_ref != '', exchange_issued_token_ref, ''), exchange_actor_token_ref),
    ('subject_child', if(kind = 'token_exchange' AND exchange_issued_token_ref != '', exchange_subject_token_ref, ''), exchange_issued_token_ref),
    ('actor_child', if(kind = 'token_exchange' AND exchange_issued_token_ref != '', exchange_actor_token_ref, ''), exchange_issued_token_ref),
    ('task', if(kind = 'session', task_id, ''), toString(type))
]) AS found
WHERE state = 'stored'
