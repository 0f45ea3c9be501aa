-- What did token exchanges do, in numbers?
-- Row: all token exchanges that match the variables.
-- Units: exchanges; "cached" were answered from a gateway's cache, "step_up" were asked for by a server, "wider" granted a scope that the subject token did not have, "outlive" gave a token that expires after the subject token, "refused" did not succeed.
-- Not covered: exchanges that no source reports. "wider" needs the subject token's scope and "outlive" its expiry, where the source tells them.
-- Empty: No exchange matches.
SELECT
    count() AS exchanges,
    countIf(outcome != 'success') AS refused,
    countIf(exchange_cached) AS cached,
    countIf(exchange_step_up) AS step_up,
    countIf(notEmpty(exchange_subject_scope) AND NOT hasAll(exchange_subject_scope, exchange_granted_scope)) AS wider,
    countIf(exchange_expires_in > 0 AND toUnixTimestamp(token_expires_at) > 0 AND time + toIntervalSecond(exchange_expires_in) > token_expires_at) AS outlive,
    uniqExactIf((tenant, exchange_issued_token_ref), exchange_issued_token_ref != '') AS tokens
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'token_exchange'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
