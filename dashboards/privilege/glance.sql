-- How much privilege stands, and how much of it does nobody use?
-- Row: all privileges that match the variables: a scope or a tool that an identity was granted at a server. The time range is the window: a use counts in it, and a grant is judged when it was seen before it began.
-- Units: privileges; "identities" those who hold them, "static" those that a static credential had in the range, "ownerless" those of identities without a registered owner, "at_risk" the lifetimes of all tokens that had an unused privilege, together.
-- Not covered: what is removed or was not granted in the range; whether what may have been used was. A use that no source reports: servers without calls for the whole range are not judged. The past: it is judged as it stands now.
-- Empty: No privilege stands.
SELECT
    uniqExact(tenant, iss, sub) AS identities,
    count() AS privileges,
    countIf(unused) AS unused,
    countIf(name = '*' OR match(name, '[:./]\\*$')) AS wildcards,
    countIf(credential = 'static') AS static,
    countIf(owner = '') AS ownerless,
    sum(risk_seconds) AS at_risk
FROM judged_privileges(since = toDateTime64({from:DateTime64(3)}, 6, 'UTC'), judged = toDateTime64({from:DateTime64(3)}, 6, 'UTC'))
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR sub = {agent:String})
  AND state NOT IN ('removed', 'lapsed', 'no_grant_seen')
