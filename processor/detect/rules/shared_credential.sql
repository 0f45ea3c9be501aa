-- Which static credentials are used by several agents, or through several clients? One row is one credential.
WITH
    touched AS MATERIALIZED (
        SELECT tenant, token_ref AS ref, min(time) AS earliest, max(time) AS latest
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_static AND token_ref != ''
        GROUP BY tenant, ref
    ),
    -- The first and the last use of each day are enough to see who else has it, and few to read; what came now is read whole. Of later
    -- days too: this may be late.
    uses AS MATERIALIZED (
        SELECT u.tenant AS tenant, arrayJoin([argMin((u.event_id, u.time), (u.time, u.event_id)), argMax((u.event_id, u.time), (u.time, u.event_id))]) AS use, use.1 AS event_id, toStartOfHour(use.2) AS hour
        FROM token_use AS u
        INNER JOIN touched AS t ON t.tenant = u.tenant AND t.ref = u.ref
        WHERE (u.tenant, u.ref) IN (SELECT tenant, ref FROM touched) AND u.role = 'presented' AND u.kind = 'tool_invocation'
            AND u.time >= t.earliest - toIntervalDay({days:UInt32}) AND u.time <= t.latest + toIntervalDay({days:UInt32})
        GROUP BY u.tenant, u.ref, toDate(u.time)
    ),
    calls AS MATERIALIZED (
        SELECT * FROM (
            SELECT tenant, id, time, token_ref, actor_iss, actor_sub, subject_iss, subject_sub, client_id, client_name, server_id, tool_name, task_id, trace_id, source_id, token_static, type, outcome
            FROM events
            WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM uses) AND id IN (SELECT event_id FROM uses)
            UNION DISTINCT
            SELECT tenant, id, time, token_ref, actor_iss, actor_sub, subject_iss, subject_sub, client_id, client_name, server_id, tool_name, task_id, trace_id, source_id, token_static, type, outcome
            FROM events
            WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND token_static AND token_ref != ''
        )
        WHERE type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AND token_static
    ),
    holders AS MATERIALIZED (
        SELECT tenant, token_ref, place, groupUniqArrayIf((who_iss, who), who != '') AS agents, groupUniqArrayIf(client, client != '') AS clients,
            min((calls.time, toString(id), subject_sub, actor_sub, toString(server_id), toString(tool_name), task_id, trace_id)) AS earliest, max(calls.time) AS latest,
            mapValues(minMap(map(concat(who, '\n', client), toString(id)))) AS ids, groupUniqArray(10)(toString(source_id)) AS sources
        FROM (
            SELECT *, if(actor_sub != '', toString(actor_iss), toString(subject_iss)) AS who_iss, if(actor_sub != '', actor_sub, subject_sub) AS who,
                if(client_id != '', client_id, toString(client_name)) AS client,
                -- Each call is in two spans that overlap by half, so that nothing within half a span falls between two.
                arrayJoin([intDiv(toUnixTimestamp(time) * 2, 86400 * {days:UInt32}), intDiv(toUnixTimestamp(time) * 2, 86400 * {days:UInt32}) + 1]) AS place
            FROM calls
        ) AS calls
        GROUP BY tenant, token_ref, place
        HAVING length(agents) >= {count:UInt32} OR length(clients) >= {count:UInt32}
    )
SELECT
    tenant,
    [token_ref] AS subject_key,
    true AS violated,
    argMax(if(length(agents) >= {count:UInt32},
        concat(toString(length(agents)), ' use one static credential: ', arrayStringConcat(arraySlice(arraySort(arrayMap(a -> a.2, agents)), 1, 5), ', '), if(length(agents) > 5, ' and others', '')),
        concat('one static credential is used through ', toString(length(clients)), ' clients: ', arrayStringConcat(arraySlice(arraySort(clients), 1, 5), ', '), if(length(clients) > 5, ' and others', ''))),
        (length(agents), length(clients), -place)) AS summary,
    min(earliest).3 AS subject_sub,
    min(earliest).4 AS actor_sub,
    min(earliest).5 AS server_id,
    min(earliest).6 AS tool_name,
    token_ref,
    min(earliest).7 AS task_id,
    min(earliest).8 AS trace_id,
    arrayMap(x -> toUUID(x), arraySlice(arraySort(groupUniqArrayArray(ids)), 1, 100)) AS evidence, -- one call of each holder
    min(earliest).1 AS first_seen,
    max(latest) AS last_seen,
    'recorded' AS coverage,
    'the uses are on record; who they were is as their sources say' AS coverage_note,
    arraySort(groupUniqArrayArray(10)(sources)) AS coverage_sources
FROM holders
GROUP BY tenant, token_ref
