-- How long do issued tokens live?
-- Row: the tokens issued to one client for one audience.
-- Units: "tokens" different ones; p50, p95 and "longest" lifetimes in seconds; "outlive" counts tokens that expire after the subject token they were issued for.
-- Not covered: tokens whose lifetime the source does not tell; whether a server honours the expiry; a cached answer, which repeats a token with what is left of its life.
-- Empty: No exchange tells a lifetime.
SELECT
    tenant,
    client_id AS client,
    arrayStringConcat(exchange_requested_audience, ' ') AS audience,
    uniqExact(exchange_issued_token_ref) AS tokens,
    quantileExact(0.5)(exchange_expires_in) AS p50,
    quantileExact(0.95)(exchange_expires_in) AS p95,
    max(exchange_expires_in) AS longest,
    countIf(toUnixTimestamp(token_expires_at) > 0 AND time + toIntervalSecond(exchange_expires_in) > token_expires_at) AS outlive
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'token_exchange'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND exchange_expires_in > 0
  AND NOT exchange_cached
GROUP BY tenant, client, audience
ORDER BY longest DESC, tenant, client, audience
LIMIT 500
