-- Who called many different tools within minutes? One row is one identity.
WITH
    touched AS MATERIALIZED (
        SELECT DISTINCT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
            arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) AS hour
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND type = 'mcp.tools.call' AND tool_name != '' AND sub != ''
    ),
    -- Only who called many tools at all in those hours can have done so within minutes: most end here.
    many AS MATERIALIZED (
        SELECT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM touched) AND type = 'mcp.tools.call' AND (tenant, iss, sub) IN (SELECT tenant, iss, sub FROM touched)
        GROUP BY tenant, iss, sub
        HAVING uniqExact(server_id, tool_name) >= {count:UInt32}
    ),
    calls AS MATERIALIZED (
        SELECT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub, toString(server_id) AS server, toString(tool_name) AS tool,
            (time, toString(id), subject_sub, actor_sub, token_ref, task_id, trace_id, toString(source_id)) AS call,
            -- Each call is in two windows that overlap by half, so that no sweep of half a window falls between two.
            arrayJoin([intDiv(toUnixTimestamp(time) * 2, {window:UInt32}), intDiv(toUnixTimestamp(time) * 2, {window:UInt32}) + 1]) AS place
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM touched) AND type = 'mcp.tools.call' AND tool_name != ''
            AND (tenant, iss, sub) IN (SELECT tenant, iss, sub FROM many)
    ),
    sweeps AS MATERIALIZED (
        SELECT tenant, iss, sub, place, arraySort(groupArray((call, server, tool))) AS firsts
        FROM (SELECT tenant, iss, sub, place, server, tool, min(calls.call) AS call FROM calls GROUP BY tenant, iss, sub, place, server, tool)
        GROUP BY tenant, iss, sub, place
        HAVING length(firsts) >= {count:UInt32}
    )
SELECT
    tenant,
    [toString(iss), sub] AS subject_key,
    true AS violated,
    concat(sub, ' called ', toString(length(argMin(firsts, place))), ' different tools within ',
        formatReadableTimeDelta(greatest(dateDiff('second', argMin(firsts, place)[1].1.1, argMin(firsts, place)[-1].1.1), 1)), ', first ', argMin(firsts, place)[1].3, ' at ', argMin(firsts, place)[1].2) AS summary,
    argMin(firsts, place)[1].1.3 AS subject_sub,
    argMin(firsts, place)[1].1.4 AS actor_sub,
    argMin(firsts, place)[1].2 AS server_id,
    argMin(firsts, place)[1].3 AS tool_name,
    argMin(firsts, place)[1].1.5 AS token_ref,
    argMin(firsts, place)[1].1.6 AS task_id,
    argMin(firsts, place)[1].1.7 AS trace_id,
    arrayMap(x -> toUUID(x), arraySlice(arraySort(groupUniqArrayArray(arrayMap(x -> x.1.2, firsts))), 1, 100)) AS evidence,
    min(firsts[1].1.1) AS first_seen,
    max(firsts[-1].1.1) AS last_seen,
    'recorded' AS coverage,
    'each call is on record; refused ones count too' AS coverage_note,
    arraySort(groupUniqArrayArray(10)(arrayMap(x -> x.1.8, firsts))) AS coverage_sources
FROM sweeps
GROUP BY tenant, iss, sub
