-- What was revoked, and is still there?
-- Row: one privilege that somebody decided to revoke and that was granted, or shown by a token, after that.
-- Units: "since" seconds from the decision to the last time that it was seen.
-- Not covered: what nobody uses or shows since: it may be there all the same. Credentials and findings. Custody takes nothing away itself.
-- Empty: Nothing that was revoked was seen again.
SELECT
    s.tenant AS tenant,
    s.reviewer AS reviewer,
    s.decided_time AS decided,
    s.identity AS identity,
    s.server_id AS server,
    s.name AS what,
    toDateTime64(p.seen, 6, 'UTC') AS seen,
    dateDiff('second', s.decided_time, p.seen) AS since,
    s.owner AS owner,
    toString(s.review) AS review
FROM review_states AS s
INNER JOIN
(
    SELECT tenant, sub, server_id, concat(kind, ' ', name) AS what, max(granted_last) AS seen
    FROM privileges
    WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
    GROUP BY tenant, sub, server_id, what
) AS p ON p.tenant = s.tenant AND p.sub = s.identity AND p.server_id = s.server_id AND p.what = s.name
WHERE s.kind = 'privilege' AND s.decision = 'revoked' AND p.seen > s.decided_time
  AND ({tenant:String} = '*' OR s.tenant = {tenant:String})
  AND ({review:String} = '*' OR toString(s.review) = {review:String})
ORDER BY since DESC, tenant, identity, server, what
LIMIT 500
