-- Who was heard of, by what is new? Written again it changes nothing.
INSERT INTO coverage_states (tenant, kind, source_id, server_id, issuer, hour, first_time, last_time, minutes)
SELECT tenant, kind, source_id, server_id,
    multiIf(kind NOT IN ('token_exchange', 'credential'), '', token_iss != '', toString(token_iss), toString(subject_iss)) AS issuer,
    toStartOfHour(time) AS hour, min(time) AS first_time, max(time) AS last_time,
    groupBitOr(bitShiftLeft(toUInt64(1), toMinute(time))) AS minutes
FROM records
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    AND (kind = 'tool_invocation'
        OR kind = 'permission_decision' AND NOT decision_inferred -- who reports denials only, covers nothing
            AND decision_effect != 'not_applicable' -- nor does who has no policy for the server
        OR kind = 'token_exchange' AND NOT exchange_cached -- a cache issues nothing
        OR kind = 'credential' AND type != 'credential.static') -- nor does who finds a credential
GROUP BY tenant, kind, source_id, server_id, issuer, hour
