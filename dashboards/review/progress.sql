-- How far is each owner?
-- Row: one owner in one review; empty: lines that nobody answers for, which an administrator decides about. These lead.
-- Units: lines by the last decision about them; "decided" the part with one; "last" when the last was made, empty for none.
-- Not covered: who may decide for whom: owners for their own lines, administrators for all, nobody for what they hold themselves.
-- Empty: No access review has lines.
SELECT
    r.tenant AS tenant,
    r.name AS name,
    owner,
    count() AS lines,
    countIf(decision = 'open') AS undecided,
    countIf(decision = 'certified') AS certified,
    countIf(decision = 'revoked') AS revoked,
    countIf(decision = 'excepted') AS excepted,
    countIf(decision != 'open') / count() AS decided,
    if(countIf(decision != 'open') = 0, NULL, max(decided_time)) AS last,
    toString(review) AS review
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
GROUP BY r.tenant, r.name, r.created, s.review, owner
ORDER BY r.created DESC, review, owner != '', undecided DESC, owner
LIMIT 1000
