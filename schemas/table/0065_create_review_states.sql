-- One row is one line of an access review and what was decided about it last; open: nothing.
CREATE VIEW IF NOT EXISTS review_states AS
SELECT
    l.tenant AS tenant,
    l.review AS review,
    l.number AS number,
    l.key AS key,
    l.kind AS kind,
    l.owner AS owner,
    l.identity AS identity,
    l.server_id AS server_id,
    l.name AS name,
    l.state AS state,
    if(a.decided = '', 'open', a.decided) AS decision,
    a.reviewer AS reviewer,
    a.decided_time AS decided_time,
    a.why AS reason,
    a.until AS until,
    a.event AS event_id
FROM
(
    SELECT tenant, review, number, key, kind, owner, identity, server_id, name, state
    FROM review_lines FINAL
) AS l
LEFT JOIN
(
    SELECT
        tenant,
        review,
        line,
        argMax(toString(action), (time, id)) AS decided,
        argMax(actor_sub, (time, id)) AS reviewer,
        max(time) AS decided_time,
        argMax(reason, (time, id)) AS why,
        argMax(review_acts.until, (time, id)) AS until,
        argMax(event_id, (time, id)) AS event
    FROM review_acts
    WHERE line != ''
    GROUP BY tenant, review, line
) AS a ON a.tenant = l.tenant AND a.review = l.review AND a.line = l.key
