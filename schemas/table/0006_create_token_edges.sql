-- One row is one step of an exchange: child was issued for parent, which was its subject token or its actor token. Ordered to walk up.
CREATE VIEW IF NOT EXISTS token_edges AS
SELECT
    tenant,
    key AS child_ref,
    other AS parent_ref,
    if(relation = 'subject_parent', 'subject', 'actor') AS role,
    time,
    event_id,
    epoch,
    partition,
    offset,
    log_time
FROM event_keys WHERE relation IN ('subject_parent', 'actor_parent')
