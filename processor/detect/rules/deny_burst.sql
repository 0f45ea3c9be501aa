-- Who was refused many times within minutes? One row is one identity.
WITH
    touched AS MATERIALIZED (
        SELECT DISTINCT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
            arrayJoin([toStartOfHour(time) - INTERVAL 1 HOUR, toStartOfHour(time), toStartOfHour(time) + INTERVAL 1 HOUR]) AS hour
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
            AND (type = 'mcp.tools.call' AND outcome = 'denied' OR kind = 'permission_decision' AND decision_effect = 'deny') AND sub != ''
    ),
    -- A decision and the refusal of its call are one refusal: each kind is counted by itself.
    refusals AS MATERIALIZED (
        SELECT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub, kind,
            groupArraySorted(5000)((time, toString(id), toString(server_id), toString(tool_name), subject_sub, actor_sub, token_ref, task_id, trace_id, toString(source_id))) AS all,
            arrayFilter(i -> dateDiff('millisecond', all[i].1, all[i + {count:UInt32} - 1].1) <= 1000 * {window:UInt32}, range(1, greatest(length(all) + 2 - {count:UInt32}, 1))) AS begins,
            arraySlice(all, begins[1], {count:UInt32}) AS burst
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM touched)
            AND (type = 'mcp.tools.call' AND outcome = 'denied' OR kind = 'permission_decision' AND decision_effect = 'deny')
            AND (tenant, iss, sub) IN (SELECT tenant, iss, sub FROM touched)
        GROUP BY tenant, iss, sub, kind
        HAVING notEmpty(begins)
    )
SELECT
    tenant,
    [toString(iss), sub] AS subject_key,
    true AS violated,
    argMin(concat(sub, ' was refused ', toString(length(burst)), ' times within ', formatReadableTimeDelta(greatest(dateDiff('second', burst[1].1, burst[-1].1), 1)),
        ', first ', burst[1].4, if(burst[1].3 = '', '', concat(' at ', burst[1].3))), (burst[1].1, kind)) AS summary,
    argMin(burst[1].5, (burst[1].1, kind)) AS subject_sub,
    argMin(burst[1].6, (burst[1].1, kind)) AS actor_sub,
    argMin(burst[1].3, (burst[1].1, kind)) AS server_id,
    argMin(burst[1].4, (burst[1].1, kind)) AS tool_name,
    argMin(burst[1].7, (burst[1].1, kind)) AS token_ref,
    argMin(burst[1].8, (burst[1].1, kind)) AS task_id,
    argMin(burst[1].9, (burst[1].1, kind)) AS trace_id,
    arrayMap(x -> toUUID(x), arraySlice(arraySort(groupUniqArrayArray(arrayMap(x -> x.2, burst))), 1, 100)) AS evidence,
    min(burst[1].1) AS first_seen,
    max(burst[-1].1) AS last_seen,
    'recorded' AS coverage,
    'each refusal is on record' AS coverage_note,
    arraySort(groupUniqArrayArray(10)(arrayMap(x -> x.10, burst))) AS coverage_sources
FROM refusals
GROUP BY tenant, iss, sub
