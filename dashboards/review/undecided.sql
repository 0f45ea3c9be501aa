-- What has nobody decided about, and what does the evidence say?
-- Row: one line without a decision of a review that is not closed, in the order of the review: without an owner first, then by owner, what to take away first.
-- Units: "waits" seconds from the creation of the review to the end of the range.
-- Not covered: lines of closed reviews: they count as missed.
-- Empty: Every line of the reviews that run has a decision.
SELECT
    s.tenant AS tenant,
    r.name AS name,
    owner,
    JSONExtractString(body, 'suggest') AS suggest,
    s.kind AS kind,
    identity,
    server_id AS server,
    s.name AS what,
    s.state AS state,
    JSONExtractString(body, 'summary') AS summary,
    dateDiff('second', r.created, {to:DateTime64(3)}) AS waits,
    toString(s.review) AS review,
    s.key AS line
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
INNER JOIN
(
    SELECT tenant, review, number, body
    FROM review_lines FINAL
    WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({review:String} = '*' OR toString(review) = {review:String})
) AS l ON l.tenant = s.tenant AND l.review = s.review AND l.number = s.number
WHERE decision = 'open' AND (s.tenant, s.review) NOT IN (SELECT tenant, review FROM review_acts WHERE action = 'closed')
ORDER BY r.created DESC, review, s.number
LIMIT 500
