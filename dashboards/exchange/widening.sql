-- Which exchanges granted more than their subject token had?
-- Row: one exchange whose issued token holds a scope that the subject token did not hold.
-- Units: "extra" is the scope that was added; "step_up" is 1 when a server asked for it, which explains the wish and not the grant.
-- Not covered: exchanges whose source does not tell the subject token's scope; a scope that means more under the same name.
-- Empty: No exchange granted more than its subject token had.
SELECT
    time,
    tenant,
    subject_sub AS subject,
    actor_sub AS actor,
    arrayStringConcat(exchange_requested_audience, ' ') AS audience,
    arrayStringConcat(exchange_subject_scope, ' ') AS subject_scope,
    arrayStringConcat(exchange_granted_scope, ' ') AS granted_scope,
    arrayStringConcat(arrayFilter(s -> NOT has(exchange_subject_scope, s), exchange_granted_scope), ' ') AS extra,
    toUInt8(exchange_step_up) AS step_up,
    toString(id) AS event,
    exchange_issued_token_ref AS token
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND kind = 'token_exchange'
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND notEmpty(exchange_subject_scope)
  AND NOT hasAll(exchange_subject_scope, exchange_granted_scope)
ORDER BY time DESC
LIMIT 500
