-- With which call was a token used first, by what is new? Written again it changes nothing.
INSERT INTO token_calls (tenant, ref, first)
SELECT tenant, token_ref AS ref, min((time, id, toString(server_id))) AS first
FROM records
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    AND stored_time NOT IN (SELECT arrayJoin({taken:Array(DateTime64(6, 'UTC'))}))
    AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_ref != '' AND NOT token_static
GROUP BY tenant, ref
