-- Which MCP servers were called, by how many, and how did it end?
-- Row: one server id of one tenant.
-- Units: "calls" tool calls; of those "errors" ended in failure or error and "denied" were refused; "callers" different pairs of subject and actor, "tools" different tools, "sources" different reporters.
-- Not covered: servers that nobody called or reported on; the owner of a server, for there is no catalogue yet.
-- Empty: No tool call matches.
SELECT
    tenant,
    server_id AS server,
    count() AS calls,
    countIf(outcome IN ('failure', 'error')) AS errors,
    countIf(outcome = 'denied') AS denied,
    uniqExact((subject_iss, subject_sub, actor_iss, actor_sub)) AS callers,
    uniqExact(tool_name) AS tools,
    uniqExact(source_id) AS sources,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY tenant, server
ORDER BY calls DESC, tenant, server
LIMIT 500
