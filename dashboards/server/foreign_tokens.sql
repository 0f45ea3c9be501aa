-- Which calls used a token that is not for this server?
-- Row: one token at one server that its audience does not name, by id or by resource identifier.
-- Units: calls with it here.
-- Not covered: tokens and servers whose audience or URI the source does not tell; a server that accepts any audience of its own issuer.
-- Empty: Every token was for the server that it was used at.
SELECT
    tenant,
    server_id AS server,
    arrayStringConcat(token_audience, ' ') AS audience,
    subject_sub AS subject,
    actor_sub AS actor,
    count() AS calls,
    countIf(outcome = 'success') AS succeeded,
    arrayStringConcat(arraySort(groupUniqArray(client_address)), ' ') AS addresses,
    max(time) AS last,
    token_ref AS token
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND notEmpty(token_audience)
  AND server_uri != ''
  AND NOT has(token_audience, server_uri)
  AND NOT has(token_audience, server_id)
GROUP BY tenant, server, audience, subject, actor, token
ORDER BY last DESC
LIMIT 500
