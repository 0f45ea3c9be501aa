-- Which calls does what is new concern? The new ones; those that a new decision belongs to; and, of the older ones, those made with a
-- token about whose issue there is news, or about the issue of the token that it was exchanged for, or whose first call is new. One row
-- is one call.
WITH
    fresh AS MATERIALIZED (
        SELECT tenant, id, time, kind, type, outcome, token_ref, exchange_issued_token_ref
        FROM records
        WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND kind IN ('tool_invocation', 'permission_decision', 'token_exchange', 'credential')
    ),
    decided AS MATERIALIZED (
        SELECT DISTINCT tenant, arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) AS hour
        FROM fresh
        WHERE kind = 'permission_decision'
    ),
    keys AS MATERIALIZED (
        SELECT DISTINCT tenant, join_key
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(time) FROM fresh WHERE kind = 'permission_decision')
            AND id IN (SELECT id FROM fresh WHERE kind = 'permission_decision')
    ),
    issued AS MATERIALIZED (
        SELECT DISTINCT tenant, if(kind = 'credential', token_ref, exchange_issued_token_ref) AS ref
        FROM fresh
        WHERE (kind = 'token_exchange' AND outcome = 'success' OR kind = 'credential') AND ref != ''
    ),
    reissued AS MATERIALIZED (
        SELECT tenant, ref FROM issued
        UNION DISTINCT
        SELECT tenant, ref FROM token_issues WHERE (tenant, parent_ref) IN (SELECT tenant, ref FROM issued)
    ),
    -- Calls of a token that are all new are there already.
    older AS MATERIALIZED (
        SELECT tenant, ref
        FROM token_calls
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM reissued UNION ALL SELECT tenant, token_ref AS ref FROM fresh WHERE type = 'mcp.tools.call' AND token_ref != '')
        GROUP BY tenant, ref
        HAVING min(first_stored) < {from:DateTime64(6, 'UTC')}
            AND ((tenant, ref) IN (SELECT tenant, ref FROM reissued) OR min(first).2 IN (SELECT id FROM fresh WHERE type = 'mcp.tools.call'))
    )
SELECT DISTINCT tenant, toStartOfHour(time) AS hour, id
FROM
(
    SELECT tenant, time, id FROM fresh WHERE type = 'mcp.tools.call'
    UNION ALL
    SELECT tenant, time, id
    FROM decision_joins
    WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM decided) AND type = 'mcp.tools.call'
        AND (tenant, join_key) IN (SELECT tenant, join_key FROM keys)
    UNION ALL
    SELECT tenant, time, event_id AS id
    FROM event_keys
    WHERE relation = 'presented' AND (tenant, key) IN (SELECT tenant, ref FROM older) AND kind = 'tool_invocation'
)
ORDER BY tenant, hour, id
