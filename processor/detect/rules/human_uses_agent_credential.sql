-- Whose credentials, being those of agents, did humans use? One row is one agent.
WITH
    touched AS MATERIALIZED (
        SELECT tenant, id, kind, token_ref AS ref
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND (type = 'mcp.tools.call' AND outcome IN ('success', 'failure')
                    AND (user_agent != '' AND match(user_agent, {programs:String}) OR token_ref != '' AND actor_sub = '' AND subject_type = 'human')
                OR kind = 'credential' AND token_ref != '' AND subject_type IN ('agent', 'workload', 'service', 'server'))
    ),
    -- Whose a token is says who issued or found it; the last one counts.
    reports AS MATERIALIZED (
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM touched WHERE ref != '') AND kind = 'credential'
    ),
    owners AS MATERIALIZED (
        SELECT tenant, token_ref AS ref, argMax((toString(subject_iss), subject_sub), (time, id)) AS agent, argMax(id, (time, id)) AS report
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM reports) AND id IN (SELECT event_id FROM reports) AND subject_sub != ''
        GROUP BY tenant, ref
        HAVING argMax(subject_type, (time, id)) IN ('agent', 'workload', 'service', 'server')
    ),
    -- The calls of a token whose owner was told now are looked for too.
    uses AS MATERIALIZED (
        SELECT tenant, event_id, toStartOfHour(time) AS hour
        FROM token_use
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM owners) AND (tenant, ref) IN (SELECT tenant, ref FROM touched WHERE kind = 'credential')
            AND role = 'presented' AND kind = 'tool_invocation'
    ),
    calls AS MATERIALIZED (
        SELECT c.*, o.agent AS owner, o.report AS report
        FROM (
            SELECT tenant, id, time, token_ref, actor_iss, actor_sub, actor_type, subject_iss, subject_sub, subject_type, user_agent, client_address, server_id, tool_name, task_id, trace_id, source_id, type, outcome
            FROM events
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM uses) AND id IN (SELECT event_id FROM uses)
            UNION DISTINCT
            SELECT tenant, id, time, token_ref, actor_iss, actor_sub, actor_type, subject_iss, subject_sub, subject_type, user_agent, client_address, server_id, tool_name, task_id, trace_id, source_id, type, outcome
            FROM events
            WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND id IN (SELECT id FROM touched)
        ) AS c
        LEFT JOIN owners AS o ON o.tenant = c.tenant AND o.ref = c.token_ref AND c.token_ref != ''
        WHERE c.type = 'mcp.tools.call' AND c.outcome IN ('success', 'failure')
    ),
    judged AS MATERIALIZED (
        SELECT *, actor_sub = '' AND subject_type = 'human' AND owner.2 != '' AS named,
            multiIf(named, owner, actor_sub != '', (toString(actor_iss), actor_sub), (toString(subject_iss), subject_sub)) AS agent
        FROM calls
        WHERE named OR match(user_agent, {programs:String})
            AND if(actor_sub != '', actor_type IN ('agent', 'workload', 'service', 'server'), subject_sub != '' AND subject_type IN ('agent', 'workload', 'service', 'server'))
    )
SELECT
    tenant,
    [agent.1, agent.2] AS subject_key,
    true AS violated,
    argMin(if(named, concat(j.subject_sub, ', who is human, called ', j.tool_name, ' at ', j.server_id, ' with a credential of ', agent.2),
        concat(j.tool_name, ' at ', j.server_id, ' was called with a credential of ', agent.2, ' by ', j.user_agent, if(j.client_address = '', '', concat(' from ', j.client_address)))), (time, id)) AS summary,
    argMin(j.subject_sub, (time, id)) AS subject_sub,
    argMin(j.actor_sub, (time, id)) AS actor_sub,
    argMin(toString(j.server_id), (time, id)) AS server_id,
    argMin(toString(j.tool_name), (time, id)) AS tool_name,
    argMin(j.token_ref, (time, id)) AS token_ref,
    argMin(j.task_id, (time, id)) AS task_id,
    argMin(j.trace_id, (time, id)) AS trace_id,
    arrayMap(x -> toUUID(x), arraySlice(arraySort(groupUniqArrayArray(if(named, [toString(id), toString(report)], [toString(id)]))), 1, 100)) AS evidence,
    min(time) AS first_seen,
    max(time) AS last_seen,
    'recorded' AS coverage,
    'what the program says of itself, or whom the source names, and whose credential it is' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(source_id))) AS coverage_sources
FROM judged AS j
GROUP BY tenant, agent
