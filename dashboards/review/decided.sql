-- Who decided what, and why?
-- Row: one line with its last decision, the newest first.
-- Units: "until" the end of an exception, empty for others; "event" is the evidence of the decision in the log.
-- Not covered: decisions that a later one replaced.
-- Empty: Nobody has decided about a line.
SELECT
    s.tenant AS tenant,
    r.name AS name,
    decided_time AS decided,
    decision,
    reviewer,
    reason,
    if(s.decision = 'excepted', s.until, NULL) AS until,
    identity,
    server_id AS server,
    s.name AS what,
    owner,
    toString(s.review) AS review,
    toString(s.event_id) AS event
FROM review_states AS s
INNER JOIN
(
    SELECT tenant, id, any(created_time) AS created, JSONExtractString(any(frozen), 'name') AS name
    FROM reviews
    WHERE created_time <= {to:DateTime64(3)}
      AND ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({review:String} = '*' OR toString(id) = {review:String})
    GROUP BY tenant, id
) AS r ON r.tenant = s.tenant AND r.id = s.review
WHERE decision != 'open'
ORDER BY decided_time DESC, review, s.number
LIMIT 500
