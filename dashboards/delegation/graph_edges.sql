-- Along which exchanges and calls did authority travel?
-- Row: one edge: an exchange, from the subject token to the token issued, or the calls with one token at one server.
-- Units: the number on an edge is exchanges (cached answers count) or tool calls.
-- Not covered: as for the nodes.
-- Empty: No exchange and no call.
WITH
    (
        SELECT groupUniqArray((tenant, ref))
        FROM
        (
            SELECT DISTINCT tenant, ref
            FROM token_use
            WHERE {start:String} != '' AND ref = {start:String} AND ({tenant:String} = '*' OR tenant = {tenant:String})
            UNION DISTINCT
            SELECT DISTINCT tenant, if(exchange_issued_token_ref != '', exchange_issued_token_ref, token_ref) AS ref
            FROM events
            WHERE {start:String} != '' AND trace_id = {start:String} AND ref != ''
              AND ({tenant:String} = '*' OR tenant = {tenant:String})
            UNION DISTINCT
            SELECT tenant, if(exchange_issued_token_ref != '', exchange_issued_token_ref, token_ref) AS ref
            FROM events
            WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
              AND ({tenant:String} = '*' OR tenant = {tenant:String})
              AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
              AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
              AND NOT startsWith({start:String}, 'sha256:') AND NOT startsWith({start:String}, 'hmac:')
              AND ({start:String} IN ('', subject_sub, actor_sub) OR has(chain_sub, {start:String})) AND ref != ''
            GROUP BY tenant, ref
            ORDER BY max(time) DESC
            LIMIT 200
        )
    ) AS seeds,
    (
        WITH RECURSIVE
            up AS (
                SELECT token.1 AS tenant, token.2 AS ref, 0 AS steps FROM (SELECT arrayJoin(seeds) AS token)
                UNION ALL
                SELECT DISTINCT e.tenant, e.parent_ref, u.steps + 1
                FROM token_edges AS e INNER JOIN up AS u ON u.tenant = e.tenant AND u.ref = e.child_ref
                WHERE (e.tenant, e.child_ref) IN (SELECT tenant, ref FROM up) AND e.role = 'subject' AND u.steps < 50),
            down AS (
                SELECT token.1 AS tenant, token.2 AS ref, 0 AS steps FROM (SELECT arrayJoin(seeds) AS token)
                UNION ALL
                SELECT DISTINCT e.tenant, e.child_ref, d.steps + 1
                FROM token_edges_by_parent AS e INNER JOIN down AS d ON d.tenant = e.tenant AND d.ref = e.parent_ref
                WHERE (e.tenant, e.parent_ref) IN (SELECT tenant, ref FROM down) AND e.role = 'subject' AND d.steps < 50)
        SELECT groupUniqArray(10000)((tenant, ref))
        FROM (SELECT tenant, ref FROM up UNION ALL SELECT tenant, ref FROM down)
    ) AS chain,
    tokens AS (SELECT token.1 AS tenant, token.2 AS ref FROM (SELECT arrayJoin(chain) AS token)),
    uses AS (
        SELECT tenant, event_id, toStartOfHour(time) AS hour FROM token_use WHERE (tenant, ref) IN tokens),
    touched AS (
        SELECT *
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM uses) AND (tenant, id) IN (SELECT tenant, event_id FROM uses))
SELECT *
FROM (
    SELECT
        concat(tenant, ' ', exchange_subject_token_ref, ' ', exchange_issued_token_ref) AS id,
        concat(tenant, ' ', exchange_subject_token_ref) AS source,
        concat(tenant, ' ', exchange_issued_token_ref) AS target,
        count() AS mainstat,
        arrayStringConcat(any(exchange_granted_scope), ' ') AS secondarystat,
        'exchange' AS detail__kind,
        toString(argMin(touched.id, time)) AS detail__event
    FROM touched
    WHERE kind = 'token_exchange' AND (tenant, exchange_subject_token_ref) IN tokens AND (tenant, exchange_issued_token_ref) IN tokens
    GROUP BY tenant, exchange_subject_token_ref, exchange_issued_token_ref
    UNION ALL
    SELECT
        concat(tenant, ' ', token_ref, ' server ', server_id) AS id,
        concat(tenant, ' ', token_ref) AS source,
        concat(tenant, ' server ', server_id) AS target,
        count() AS mainstat,
        arrayStringConcat(arraySort(groupUniqArray(toString(tool_name))), ' ') AS secondarystat,
        'calls' AS detail__kind,
        toString(argMin(touched.id, time)) AS detail__event
    FROM touched
    WHERE kind = 'tool_invocation' AND server_id != '' AND (tenant, token_ref) IN tokens
    GROUP BY tenant, token_ref, server_id
)
ORDER BY id
LIMIT 1000
