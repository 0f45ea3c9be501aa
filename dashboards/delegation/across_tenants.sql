-- Which tokens crossed from one tenant to another?
-- Row: one token that events of more than one tenant name.
-- Units: "events" that name it in the range.
-- Not covered: a delegation that crosses by an exchange whose issued token only the other tenant sees. The variables server and agent do not apply. A reader of one tenant only sees nothing here.
-- Empty: No token was seen in two tenants.
SELECT
    arrayStringConcat(arraySort(groupUniqArray(tenant)), ' ') AS tenants,
    arrayStringConcat(arraySort(groupUniqArrayIf(server_id, server_id != '')), ' ') AS servers,
    count() AS events,
    min(time) AS first,
    max(time) AS last,
    ref AS token
FROM events
ARRAY JOIN arrayFilter(r -> r != '', [token_ref, exchange_issued_token_ref]) AS ref
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
GROUP BY ref
HAVING uniqExact(tenant) > 1 AND ({tenant:String} = '*' OR has(groupUniqArray(tenant), {tenant:String}))
ORDER BY last DESC
LIMIT 200
