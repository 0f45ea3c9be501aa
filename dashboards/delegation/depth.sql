-- How deep are delegations?
-- Row: one depth.
-- Units: "tokens" issued by exchanges with so many actors in their chain; "agents" different immediate actors, "subjects" those on whose behalf.
-- Not covered: chains that the source truncated or could not read, which are counted as far as they were read in "incomplete".
-- Empty: No exchange matches.
SELECT
    length(chain_sub) AS depth,
    uniqExact(tenant, exchange_issued_token_ref) AS tokens,
    uniqExact(tenant, actor_iss, actor_sub) AS agents,
    uniqExact(tenant, subject_iss, subject_sub) AS subjects,
    countIf(chain_truncated OR chain_malformed != '') AS incomplete
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND kind = 'token_exchange'
  AND exchange_issued_token_ref != ''
GROUP BY depth
ORDER BY depth
