-- Who was heard of in which hour, as the pass of verdicts counts it.
INSERT INTO coverage_states
SELECT tenant, kind, source_id, server_id, if(token_iss != '', token_iss, subject_iss) AS issuer, toStartOfHour(time) AS hour,
    min(records.time), max(records.time), groupBitOr(bitShiftLeft(toUInt64(1), toMinute(records.time)))
FROM records
WHERE kind IN ('permission_decision', 'token_exchange', 'credential', 'tool_invocation')
GROUP BY tenant, kind, source_id, server_id, issuer, hour
