-- What happened in this range, in numbers?
-- Row: all events that match the variables.
-- Units: events; "chains" counts delegation chains: tokens that were exchanged and that no exchange of this range issued. "agents" and "servers" count different ones.
-- Not covered: what no source reports, as "Coverage" below shows. Re-deliveries count once.
-- Empty: No event matches.
SELECT
    count() AS events,
    countIf(kind = 'tool_invocation') AS calls,
    countIf(kind = 'token_exchange') AS exchanges,
    countIf(kind = 'permission_decision') AS decisions,
    countIf(kind = 'permission_decision' AND decision_effect = 'deny') AS denied,
    uniqExactIf((tenant, exchange_subject_token_ref),
        kind = 'token_exchange' AND exchange_subject_token_ref != '' AND exchange_issued_token_ref != ''
        AND (tenant, exchange_subject_token_ref) NOT IN (
            SELECT tenant, exchange_issued_token_ref FROM events
            WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)} AND ({tenant:String} = '*' OR tenant = {tenant:String})
              AND kind = 'token_exchange' AND exchange_issued_token_ref != '' AND (exchange_subject_token_ref != '' OR exchange_actor_token_ref != ''))) AS chains,
    uniqExactIf((tenant, actor_iss, actor_sub), actor_type = 'agent') AS agents,
    uniqExactIf((tenant, server_id), server_id != '') AS servers
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
