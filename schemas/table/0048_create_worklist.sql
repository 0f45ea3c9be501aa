-- One row is one finding as it stands now: what the detections say of it, and what people did about it.
CREATE VIEW IF NOT EXISTS worklist AS
SELECT
    f.tenant AS tenant,
    f.key AS key,
    f.* EXCEPT (tenant, key, status),
    multiIf(
        f.status = 'auto_resolved', 'auto_resolved',
        h.step = 'excepted' AND h.until > now64(6), 'excepted',
        h.step_time <= h.reappeared_time, 'open',
        h.step = 'resolved' AND f.last_seen <= h.seen AND hasAll(h.seen_evidence, f.evidence), 'resolved',
        h.step = 'acknowledged', 'acknowledged',
        h.step = 'assigned' AND h.assignee != '', 'assigned',
        'open') AS status,
    if(f.actor_sub != '', f.actor_sub, f.subject_sub) AS identity,
    multiIf(
        l.root_ref != '', l.root_ref,
        f.token_ref != '', f.token_ref,
        f.task_id != '', concat('task:', f.task_id),
        f.trace_id != '', concat('trace:', f.trace_id),
        '') AS chain,
    h.assignee AS assignee,
    h.step_actor AS handled_by,
    h.step_time AS handled_time,
    h.step_comment AS reason,
    if(h.step = 'excepted', h.until, toDateTime64(0, 6, 'UTC')) AS excepted_until,
    greatest(f.changed_time, h.newest_time, if(h.step = 'excepted' AND h.until <= now64(6), h.until, h.step_time)) AS updated_time,
    hex(sipHash64(f.changed_time, h.newest, status)) AS revision
FROM
(
    SELECT * FROM finding_states FINAL
) AS f
LEFT JOIN
(
    SELECT
        tenant,
        key,
        maxIf(time, action = 'reappeared') AS reappeared_time,
        argMax(id, (time, id)) AS newest,
        max(time) AS newest_time,
        argMaxIf(toString(action), (time, id), action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened')) AS step,
        maxIf(time, action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened')) AS step_time,
        argMaxIf(actor_sub, (time, id), action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened')) AS step_actor,
        argMaxIf(comment, (time, id), action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened')) AS step_comment,
        argMaxIf(finding_history.until, (time, id), action = 'excepted') AS until,
        argMaxIf(last_seen, (time, id), action = 'resolved') AS seen,
        argMaxIf(evidence, (time, id), action = 'resolved') AS seen_evidence,
        argMaxIf(finding_history.assignee, (time, id), action = 'assigned') AS assignee
    FROM finding_history
    GROUP BY tenant, key
) AS h ON h.tenant = f.tenant AND h.key = f.key
LEFT JOIN
(
    SELECT tenant, ref, root_ref
    FROM token_lineage_states FINAL
    WHERE (tenant, ref) IN (SELECT tenant, token_ref FROM finding_states)
) AS l ON l.tenant = f.tenant AND l.ref = f.token_ref
