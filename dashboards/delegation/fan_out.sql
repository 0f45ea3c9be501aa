-- From which token was most derived?
-- Row: one subject token that was exchanged in the range.
-- Units: "tokens" different ones issued for it, "actors" and "audiences" different ones.
-- Not covered: what was derived from those in turn: follow the link. Exchanges that no source reports.
-- Empty: No exchange matches.
SELECT
    tenant,
    any(subject_sub) AS subject,
    uniqExact(exchange_issued_token_ref) AS tokens,
    uniqExact((actor_iss, actor_sub)) AS actors,
    uniqExact(exchange_requested_audience) AS audiences,
    min(time) AS first,
    max(time) AS last,
    exchange_subject_token_ref AS token
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND kind = 'token_exchange'
  AND exchange_subject_token_ref != ''
  AND exchange_issued_token_ref != ''
GROUP BY tenant, token
ORDER BY tokens DESC, tenant, first
LIMIT 200
