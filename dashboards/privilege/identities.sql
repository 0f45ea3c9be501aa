-- Who holds how much, and how much of it without need?
-- Row: one identity, by issuer and subject identifier.
-- Units: privileges that stand; "unused" of them nobody used in the range, "unsure" cannot be judged (perhaps used, too young, or calls of the server are not seen), "static" a static credential has; "at_risk" seconds of tokens that had what is unused; "oldest" seconds since its oldest grant that is unused, empty for none.
-- Not covered: identities that no event names as actor or subject.
-- Empty: Nobody holds a privilege.
SELECT
    tenant,
    sub AS identity,
    iss AS issuer,
    any(type) AS type,
    any(owner) AS owner,
    uniqExact(server_id) AS servers,
    count() AS privileges,
    countIf(j.unused) AS unused,
    countIf(state IN ('maybe_used', 'young', 'not_covered')) AS unsure,
    countIf(credential = 'static') AS static,
    sum(risk_seconds) AS at_risk,
    if(countIf(j.unused) = 0, NULL, dateDiff('second', minIf(granted_first, j.unused), {to:DateTime64(3)})) AS oldest
FROM judged_privileges(since = toDateTime64({from:DateTime64(3)}, 6, 'UTC'), judged = toDateTime64({from:DateTime64(3)}, 6, 'UTC')) AS j
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR sub = {agent:String})
  AND state NOT IN ('removed', 'lapsed', 'no_grant_seen')
GROUP BY tenant, sub, iss
ORDER BY unused DESC, at_risk DESC, privileges DESC, tenant, sub, iss
LIMIT 500
