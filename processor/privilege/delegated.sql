-- Which scopes were used by exchanging a token for one that has them too? Written again it changes nothing. Who held the subject token
-- is the actor before the one that exchanged it; the subject where there was none.
INSERT INTO privilege_states (tenant, iss, sub, server, kind, name, granted_first, used_first, used_last, used_days, uses, taken_time)
SELECT tenant, iss, sub, server, 'scope' AS kind, name,
    (toDateTime64('2299-12-31 00:00:00', 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000')) AS granted_first,
    min((time, id)) AS used_first, max((time, id)) AS used_last,
    groupBitmapState(toUInt32(intDiv(toUnixTimestamp64Micro(time), 86400000000))) AS used_days,
    uniqCombined64State(12)(id) AS uses,
    now64(6, 'UTC') AS taken_time
FROM
(
    SELECT tenant, id, time,
        toString(if(length(chain_sub) > 1, chain_iss[2], subject_iss)) AS iss,
        if(length(chain_sub) > 1, chain_sub[2], subject_sub) AS sub,
        arrayJoin(if(empty(token_audience), [''], arrayMap(a -> toString(a), token_audience))) AS server,
        toString(arrayJoin(arrayIntersect(token_scope, if(empty(exchange_granted_scope), exchange_requested_scope, exchange_granted_scope)))) AS name
    FROM records
    WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
        AND records.kind = 'token_exchange' AND outcome = 'success' AND chain_malformed = '' AND chain_rule != 'actor_chained'
)
WHERE sub != '' AND name != ''
GROUP BY tenant, iss, sub, server, kind, name
