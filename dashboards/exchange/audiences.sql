-- Who asks for tokens for which audience?
-- Row: one client that asked for one audience, with the resource it named.
-- Units: exchanges, and of those "refused" did not succeed; "subjects" different ones.
-- Not covered: whether the client may ask: grants are not read yet. A token for another audience that a server accepts is on its dashboard.
-- Empty: No exchange matches.
SELECT
    tenant,
    client_id AS client,
    arrayStringConcat(exchange_requested_audience, ' ') AS audience,
    arrayStringConcat(exchange_resource, ' ') AS resource,
    count() AS exchanges,
    countIf(outcome != 'success') AS refused,
    uniqExact((subject_iss, subject_sub)) AS subjects,
    arrayStringConcat(arraySort(arrayDistinct(arrayFlatten(groupArray(exchange_granted_scope)))), ' ') AS scopes,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'token_exchange'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY tenant, client, audience, resource
ORDER BY exchanges DESC, tenant, client, audience
LIMIT 500
