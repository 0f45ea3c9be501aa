-- The rows of token_edges, ordered to walk down.
CREATE VIEW IF NOT EXISTS token_edges_by_parent AS
SELECT
    tenant,
    key AS parent_ref,
    other AS child_ref,
    if(relation = 'subject_child', 'subject', 'actor') AS role,
    time,
    event_id,
    epoch,
    partition,
    offset,
    log_time
FROM event_keys WHERE relation IN ('subject_child', 'actor_child')
