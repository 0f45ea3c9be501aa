-- With which call was a token used first, by what is new? Written again it changes nothing.
INSERT INTO token_calls (tenant, ref, first, first_stored)
SELECT tenant, token_ref AS ref,
    min(if(CAST(outcome, 'String') IN ('success', 'failure'), (time, id, toString(server_id)), (toDateTime64('2299-12-31 00:00:00', 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000'), ''))) AS first,
    min(stored_time) AS first_stored
FROM records
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    AND type = 'mcp.tools.call' AND token_ref != ''
GROUP BY tenant, ref
