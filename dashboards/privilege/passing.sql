-- What came and went, and was it used?
-- Row: one privilege that is removed, or that was granted before the range and not in it.
-- Units: "days" on which it was granted, "times" it came (again after more than a week without it), "uses" events, "at_risk" seconds of tokens that had it and did not use it; "until" when it was granted last, or removed.
-- Not covered: what nobody reported as removed and tokens still carry: it stands.
-- Empty: Nothing that was granted has gone.
SELECT
    tenant,
    sub AS identity,
    server_id AS server,
    kind,
    name,
    state,
    granted_first AS since,
    if(state = 'removed', removed, granted_last) AS until,
    toUInt64(granted_days) AS days,
    toUInt64(granted_times) AS times,
    uses,
    risk_seconds AS at_risk
FROM judged_privileges(since = toDateTime64({from:DateTime64(3)}, 6, 'UTC'), judged = toDateTime64({from:DateTime64(3)}, 6, 'UTC'))
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR sub = {agent:String})
  AND state IN ('removed', 'lapsed')
ORDER BY at_risk DESC, until DESC, tenant, iss, sub, server_id, kind, name
LIMIT 500
