-- Which agents acted, for whom and where?
-- Row: one agent, by issuer and subject identifier, that was the actor or the subject of events.
-- Units: "subjects" counts those it acted for, "servers" different servers, "tools" different tools called; "calls" tool calls, "denied" those that ended denied.
-- Not covered: agents further up a chain than the immediate actor have no row of their own; calls whose source lost the actor.
-- Empty: No agent acted.
SELECT
    tenant,
    if(actor_type = 'agent', actor_sub, subject_sub) AS agent,
    if(actor_type = 'agent', actor_iss, subject_iss) AS issuer,
    uniqExactIf((subject_iss, subject_sub), actor_type = 'agent' AND subject_sub != '') AS subjects,
    uniqExactIf(server_id, server_id != '') AS servers,
    uniqExactIf((server_id, tool_name), kind = 'tool_invocation') AS tools,
    countIf(kind = 'tool_invocation') AS calls,
    countIf(kind = 'tool_invocation' AND outcome = 'denied') AS denied,
    min(time) AS first,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND (actor_type = 'agent' OR subject_type = 'agent')
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY tenant, agent, issuer
ORDER BY calls DESC, tenant, agent, issuer
LIMIT 500
