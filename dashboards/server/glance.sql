-- What happens at this server, in numbers?
-- Row: all tool calls that match the variables.
-- Units: calls; of those "errors" ended in failure or error, "denied" were refused; "tools", "callers" (pairs of subject and actor) and "clients" different ones; "p95" milliseconds a call took at most, for 95 of 100.
-- Not covered: calls that no source reports; who owns the server, for there is no catalogue yet.
-- Empty: No tool call matches.
SELECT
    count() AS calls,
    countIf(outcome IN ('failure', 'error')) AS errors,
    countIf(outcome = 'denied') AS denied,
    uniqExact(tenant, server_id, tool_name) AS tools,
    uniqExact(tenant, subject_iss, subject_sub, actor_iss, actor_sub) AS callers,
    uniqExactIf((tenant, client_name, client_version), client_name != '') AS clients,
    if(count() = 0, 0, quantileExact(0.95)(tool_duration_ms)) AS p95
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'tool_invocation'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
