-- Which tokens were used while nobody was seen to issue them?
-- Row: one token of tool calls that neither an exchange nor a credential event names.
-- Units: "calls" tool calls with it in the range.
-- Not covered: tokens issued before there was a source for it; beyond the 1000 used last of those that were not issued in the range or in the 8 hours before it. A token service whose counter has a gap withheld an event, which is not the same as a token from elsewhere: see the coverage on the Overview.
-- Empty: Every token that was used was seen being issued, or found as a credential.
WITH
    (
        SELECT groupArray((tenant, ref))
        FROM
        (
            SELECT tenant, token_ref AS ref
            FROM events
            WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
              AND ({tenant:String} = '*' OR tenant = {tenant:String})
              AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
              AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
              AND kind = 'tool_invocation'
              AND token_ref != ''
              AND (tenant, token_ref) NOT IN (
                SELECT tenant, if(kind = 'credential', token_ref, exchange_issued_token_ref)
                FROM events
                WHERE time >= {from:DateTime64(3)} - toIntervalHour(8) AND time <= {to:DateTime64(3)}
                  AND ({tenant:String} = '*' OR tenant = {tenant:String})
                  AND (kind = 'credential' OR exchange_issued_token_ref != ''))
            GROUP BY tenant, ref
            ORDER BY max(time) DESC
            LIMIT 1000)
    ) AS found,
    suspects AS (SELECT token.1 AS tenant, token.2 AS ref FROM (SELECT arrayJoin(found) AS token))
SELECT
    tenant,
    any(subject_sub) AS subject,
    any(actor_sub) AS actor,
    arrayStringConcat(any(token_audience), ' ') AS audience,
    any(token_issued_at) AS issued_at,
    count() AS calls,
    arrayStringConcat(arraySort(groupUniqArray(server_id)), ' ') AS servers,
    max(time) AS last,
    token_ref AS token
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String} OR has(exchange_requested_audience, {server:String}))
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String} OR has(chain_sub, {agent:String}))
  AND kind = 'tool_invocation'
  AND (tenant, token_ref) IN suspects
  AND (tenant, token_ref) NOT IN (
    SELECT tenant, ref FROM token_use
    WHERE (tenant, ref) IN suspects AND (role = 'issued' OR kind = 'credential'))
GROUP BY tenant, token
ORDER BY last DESC
LIMIT 200
