-- Which tools of this server are called?
-- Row: one tool of one server.
-- Units: calls; of those "errors" ended in failure or error, "denied" were refused; "callers" different pairs of subject and actor; "p95" milliseconds.
-- Not covered: tools that the server offers and nobody called.
-- Empty: No tool call matches.
SELECT
    tenant,
    server_id AS server,
    tool_name AS tool,
    count() AS calls,
    countIf(outcome IN ('failure', 'error')) AS errors,
    countIf(outcome = 'denied') AS denied,
    uniqExact((subject_iss, subject_sub, actor_iss, actor_sub)) AS callers,
    quantileExact(0.95)(tool_duration_ms) AS p95,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
GROUP BY tenant, server, tool
ORDER BY calls DESC, tenant, server, tool
LIMIT 500
