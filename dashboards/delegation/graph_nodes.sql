-- How did authority travel?
-- Row: one node: a token with the one who holds it, or a server at which tokens were used. The edges are exchanges and calls.
-- Units: the number in a node is tool calls, with the token or at the server; the ring is their outcome: green success, orange denied, red failure and error.
-- Not covered: more than 200 starts (the newest are taken) and 50 exchanges up or down; 500 nodes are drawn. Actor tokens are left out: their owners would join unrelated chains.
-- Empty: No token found. "start" wants a token reference (sha256:... or hmac:...), a trace id or a principal's subject identifier; leave it empty for all tokens of the range.
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
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM uses) AND (tenant, id) IN (SELECT tenant, event_id FROM uses)),
    seen AS (
        SELECT
            t.tenant AS tenant, seen.1 AS token, t.time AS at, t.kind AS kind, t.outcome AS outcome, t.server_id AS server_id, t.tool_name AS tool_name,
            multiIf(seen.2 = 'issued' AND NOT t.exchange_cached, 1, t.kind != 'token_exchange', 2, seen.2 = 'issued', 3, 4) AS rank,
            if(rank = 4 OR t.actor_sub = '', t.subject_sub, t.actor_sub) AS holder,
            if(rank = 4 OR t.actor_sub = '', t.subject_type, t.actor_type) AS holder_type,
            t.subject_sub AS subject,
            if(rank = 4, 0, length(t.chain_sub)) AS depth,
            if(seen.2 = 'issued', t.exchange_requested_audience, t.token_audience) AS audience,
            if(seen.2 = 'issued', t.exchange_granted_scope, t.token_scope) AS scope,
            if(seen.2 = 'issued', t.time + toIntervalSecond(t.exchange_expires_in), t.token_expires_at) AS expires_at,
            if(seen.2 = 'issued', t.exchange_subject_token_ref, '') AS parent,
            toString(t.id) AS event
        FROM touched AS t
        ARRAY JOIN [(token_ref, 'presented'), (exchange_issued_token_ref, 'issued')] AS seen
        WHERE seen.1 != '' AND (t.tenant, seen.1) IN tokens),
    hops AS (
        SELECT
            tenant, token,
            argMin(holder, (rank, at)) AS holder,
            argMin(holder_type, (rank, at)) AS holder_type,
            argMin(subject, (rank, at)) AS subject,
            argMin(depth, (rank, at)) AS depth,
            argMin(arrayStringConcat(audience, ' '), (rank, at)) AS audience,
            argMin(arrayStringConcat(scope, ' '), (rank, at)) AS scope,
            argMin(expires_at, (rank, at)) AS expires_at,
            argMin(parent, (rank, at)) AS parent,
            argMin(event, (rank, at)) AS event,
            min(at) AS first,
            multiIf(min(rank) = 1, 'exchange', countIf(kind = 'credential') > 0, 'credential', min(rank) = 3, 'cache', 'not seen') AS issued_by,
            countIf(kind = 'tool_invocation') AS calls,
            countIf(kind = 'tool_invocation' AND outcome = 'success') AS succeeded,
            countIf(kind = 'tool_invocation' AND outcome = 'denied') AS denied,
            arrayStringConcat(arraySort(groupUniqArrayIf(server_id, kind = 'tool_invocation')), ' ') AS servers,
            arrayStringConcat(arraySort(groupUniqArrayIf(tool_name, kind = 'tool_invocation')), ' ') AS tools
        FROM seen
        GROUP BY tenant, token)
SELECT *
FROM (
    SELECT
        concat(tenant, ' ', token) AS id,
        holder AS title,
        multiIf(audience != '', concat('for ', audience), holder_type) AS subtitle,
        calls AS mainstat,
        scope AS secondarystat,
        if(calls = 0, 0, succeeded / calls) AS arc__success,
        if(calls = 0, 0, denied / calls) AS arc__denied,
        if(calls = 0, 0, (calls - succeeded - denied) / calls) AS arc__error,
        tenant AS detail__tenant,
        subject AS detail__subject,
        token AS detail__token,
        issued_by AS detail__issued_by
    FROM hops
    UNION ALL
    SELECT
        concat(tenant, ' server ', server_id) AS id,
        toString(server_id) AS title,
        'MCP server' AS subtitle,
        count() AS mainstat,
        '' AS secondarystat,
        countIf(outcome = 'success') / count() AS arc__success,
        countIf(outcome = 'denied') / count() AS arc__denied,
        countIf(outcome IN ('failure', 'error')) / count() AS arc__error,
        tenant AS detail__tenant,
        '' AS detail__subject,
        '' AS detail__token,
        '' AS detail__issued_by
    FROM seen
    WHERE kind = 'tool_invocation' AND server_id != ''
    GROUP BY tenant, server_id
)
ORDER BY id
LIMIT 500
