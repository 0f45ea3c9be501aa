-- What to remove first?
-- Row: one privilege that nobody used in the range: granted before it began and still granted in it, at a server whose calls were seen for as long. Worst first: what stands for all others, then what a static credential has, then by the time at risk, the oldest first.
-- Units: "age" seconds since the grant was seen first; "tokens" that had it, "at_risk" their lifetimes together in seconds; "used" when it was used last, empty for never.
-- Not covered: whether it is needed for something rare: ask the owner. Exceptions are in "Anomalies and findings".
-- Empty: Nobody holds a privilege that was not used in this range.
SELECT
    tenant,
    sub AS identity,
    owner,
    server_id AS server,
    kind,
    name,
    state,
    arrayStringConcat(how, ' ') AS granted_by,
    dateDiff('second', granted_first, {to:DateTime64(3)}) AS age,
    if(used_last = toDateTime64(0, 6, 'UTC'), NULL, used_last) AS used,
    credential,
    tokens,
    risk_seconds AS at_risk,
    toString(granted_event) AS event
FROM judged_privileges(since = toDateTime64({from:DateTime64(3)}, 6, 'UTC'), judged = toDateTime64({from:DateTime64(3)}, 6, 'UTC'))
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR sub = {agent:String})
  AND unused
ORDER BY name = '*' OR match(name, '[:./]\\*$') DESC, credential = 'static' DESC, risk_seconds DESC, granted_first, tenant, iss, sub, server_id, kind, name
LIMIT 500
