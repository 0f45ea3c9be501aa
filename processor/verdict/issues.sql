-- What is new about how tokens came to be? Written again it changes nothing. Where the answer of the token service does not repeat the
-- scope it is the one asked for (RFC 6749 section 5.1).
INSERT INTO token_issues (tenant, ref, event_id, type, exchanged, time, source_id, parent_ref, cached, step_up, expires_at, audience, scope, subject_scope)
SELECT tenant, if(exchanged, exchange_issued_token_ref, token_ref) AS ref, id, type, kind = 'token_exchange' AS exchanged, time, source_id,
    if(exchanged, exchange_subject_token_ref, '') AS parent_ref, exchange_cached, exchange_step_up,
    multiIf(NOT exchanged, token_expires_at, exchange_expires_in = 0, toDateTime64(0, 6, 'UTC'), time + toIntervalSecond(exchange_expires_in)) AS expires_at,
    if(exchanged, arrayConcat(exchange_resource, exchange_requested_audience), token_audience) AS audience,
    multiIf(NOT exchanged, token_scope, notEmpty(exchange_granted_scope), exchange_granted_scope, exchange_requested_scope) AS scope,
    multiIf(NOT exchanged, [], notEmpty(exchange_subject_scope), exchange_subject_scope, token_ref = exchange_subject_token_ref, token_scope, []) AS subject_scope
FROM records
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    AND (kind = 'token_exchange' AND outcome = 'success' AND exchange_issued_token_ref != '' OR kind = 'credential' AND token_ref != '')
