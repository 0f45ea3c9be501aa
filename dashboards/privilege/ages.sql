-- How old are grants, and are the old ones used?
-- Row: privileges that were seen to be granted first so long ago.
-- Units: privileges by state; "unsure" cannot be judged (perhaps used, too young, or calls of the server are not seen).
-- Not covered: how long a grant existed before an event told of it.
-- Empty: Nobody holds a privilege.
SELECT
    ['under a day', 'under a week', 'under 30 days', 'under 90 days', 'under a year', 'older'][days] AS age,
    countIf(unused) AS unused,
    countIf(state IN ('maybe_used', 'young', 'not_covered')) AS unsure,
    countIf(state = 'used') AS used
FROM
(
    SELECT *, multiIf(granted_first > {to:DateTime64(3)} - toIntervalDay(1), 1, granted_first > {to:DateTime64(3)} - toIntervalDay(7), 2, granted_first > {to:DateTime64(3)} - toIntervalDay(30), 3,
        granted_first > {to:DateTime64(3)} - toIntervalDay(90), 4, granted_first > {to:DateTime64(3)} - toIntervalDay(365), 5, 6) AS days
    FROM judged_privileges(since = toDateTime64({from:DateTime64(3)}, 6, 'UTC'), judged = toDateTime64({from:DateTime64(3)}, 6, 'UTC'))
    WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({server:String} = '*' OR server_id = {server:String})
      AND ({agent:String} = '*' OR sub = {agent:String})
      AND state NOT IN ('removed', 'lapsed', 'no_grant_seen')
)
GROUP BY days
ORDER BY days
