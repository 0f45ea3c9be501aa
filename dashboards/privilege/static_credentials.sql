-- Who holds privilege by a secret that does not end?
-- Row: one identity at one server where a static credential had privileges in the range.
-- Units: privileges that it had; "unused" of them nobody used in the range; "last" when it was seen last.
-- Not covered: secrets that a scan found and that no event names an identity for; whether one was replaced by another.
-- Empty: No static credential had a privilege in this range.
SELECT
    tenant,
    sub AS identity,
    any(owner) AS owner,
    server_id AS server,
    count() AS privileges,
    countIf(unused) AS unused,
    arrayStringConcat(arraySlice(arraySort(groupArray(name)), 1, 20), ' ') AS names,
    min(granted_first) AS first,
    toDateTime64(max(static_last), 6, 'UTC') AS last
FROM judged_privileges(since = toDateTime64({from:DateTime64(3)}, 6, 'UTC'), judged = toDateTime64({from:DateTime64(3)}, 6, 'UTC'))
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR sub = {agent:String})
  AND credential = 'static'
GROUP BY tenant, iss, sub, server_id
ORDER BY privileges DESC, tenant, iss, sub, server_id
LIMIT 500
