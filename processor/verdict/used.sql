-- Which tokens were presented with these calls? One row is one token.
SELECT DISTINCT tenant, token_ref
FROM records
WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM concerned) AND id IN (SELECT id FROM concerned)
    AND state = 'stored' AND type = 'mcp.tools.call' AND token_ref != ''
