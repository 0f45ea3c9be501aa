-- Who answers for what stands?
-- Row: one registered owner of identities; empty: nobody answers for them.
-- Units: "identities" of the owner, privileges that they hold, "unused" of them nobody used in the range; "at_risk" seconds of tokens that had what is unused.
-- Not covered: owners of servers and tools; who owned an identity before its last event.
-- Empty: Nobody holds a privilege.
SELECT
    tenant,
    owner,
    uniqExact(iss, sub) AS identities,
    count() AS privileges,
    countIf(unused) AS unused,
    countIf(credential = 'static') AS static,
    sum(risk_seconds) AS at_risk
FROM judged_privileges(since = toDateTime64({from:DateTime64(3)}, 6, 'UTC'), judged = toDateTime64({from:DateTime64(3)}, 6, 'UTC'))
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR sub = {agent:String})
  AND state NOT IN ('removed', 'lapsed', 'no_grant_seen')
GROUP BY tenant, owner
ORDER BY owner != '', unused DESC, privileges DESC, tenant, owner
LIMIT 500
