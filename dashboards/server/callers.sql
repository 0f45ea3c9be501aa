-- Who calls this server, on whose behalf and with what?
-- Row: one subject, actor and client software.
-- Units: calls; of those "denied" were refused; "tools" and "tokens" different ones; "static" calls with a long-lived credential; "unverified" calls whose token nobody checked.
-- Not covered: callers that the source does not name. A client's name and version are what it says of itself.
-- Empty: No tool call matches.
SELECT
    tenant,
    subject_sub AS subject,
    subject_type,
    actor_sub AS actor,
    actor_type,
    trim(concat(client_name, ' ', client_version)) AS client,
    count() AS calls,
    countIf(outcome = 'denied') AS denied,
    uniqExact((server_id, tool_name)) AS tools,
    uniqExactIf(token_ref, token_ref != '') AS tokens,
    countIf(token_static) AS static,
    countIf(token_verified != 'verified') AS unverified,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY tenant, subject, subject_iss, subject_type, actor, actor_iss, actor_type, client
ORDER BY calls DESC, tenant, subject, actor, client
LIMIT 500
