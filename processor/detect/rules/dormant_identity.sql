-- Who calls again after a long silence? One row is one silence of an identity, by the day of its last call before.
WITH
    touched AS MATERIALIZED (
        SELECT toString(tenant) AS tenant, toString(if(actor_sub != '', actor_iss, subject_iss)) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub,
            toUInt32(intDiv(toUnixTimestamp64Micro(time), 86400000000)) AS day,
            argMin(subject_sub, (time, id)) AS first_subject, argMin(actor_sub, (time, id)) AS first_actor, argMin(toString(server_id), (time, id)) AS first_server,
            argMin(toString(tool_name), (time, id)) AS first_tool, argMin(token_ref, (time, id)) AS first_ref, argMin(task_id, (time, id)) AS first_task, argMin(trace_id, (time, id)) AS first_trace,
            min(time) AS first_time, max(time) AS last_time, arrayMap(x -> toUUID(x), groupArraySorted(10)(toString(id))) AS ids, groupUniqArray(10)(toString(source_id)) AS sources
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND type = 'mcp.tools.call' AND time < {to:DateTime64(6, 'UTC')} + toIntervalDay(1) AND (actor_sub != '' OR subject_sub != '')
        GROUP BY tenant, iss, sub, day
    ),
    known AS MATERIALIZED (
        SELECT toString(tenant) AS tenant, subject_key[1] AS iss, subject_key[2] AS sub, groupArray(toUInt32(toDate(subject_key[3]))) AS quiet_days,
            groupArray((first_seen, evidence[1])) AS ends
        FROM findings
        WHERE rule = 'dormant_identity' AND status = 'open' AND (tenant, subject_key[1], subject_key[2]) IN (SELECT tenant, iss, sub FROM touched)
        GROUP BY tenant, iss, sub
    ),
    -- Days on which it ran a tool, as far as the pass took them in, and some of the calls. What claims to be of the future ends no silence.
    ran AS MATERIALIZED (
        SELECT toString(tenant) AS tenant, toString(iss) AS iss, sub, max(holder).2 = 'human' AS person, arrayFilter(d -> d <= intDiv(toUnixTimestamp64Micro({to:DateTime64(6, 'UTC')}), 86400000000) + 1, bitmapToArray(groupBitmapMergeState(used_days))) AS days,
            groupArrayArray(arrayFilter(c -> c.1 > toDateTime64(0, 6, 'UTC') AND c.1 < {to:DateTime64(6, 'UTC')} + toIntervalDay(1), [(used_first.1, used_first.2), (used_last.1, used_last.2)])) AS ends
        FROM privilege_states
        WHERE privilege_states.kind = 'tool' AND (tenant, iss, sub) IN (SELECT tenant, iss, sub FROM touched)
        GROUP BY tenant, iss, sub
    ),
    seen AS MATERIALIZED (
        SELECT t.tenant AS tenant, t.iss AS iss, t.sub AS sub, any(r.person) AS person, any(r.days) AS ran_days, groupArray(t.day) AS new_days, any(k.quiet_days) AS known_days,
            arrayConcat(any(r.ends), any(k.ends)) AS calls
        FROM touched AS t
        INNER JOIN ran AS r ON r.tenant = t.tenant AND r.iss = t.iss AND r.sub = t.sub
        LEFT JOIN known AS k ON k.tenant = t.tenant AND k.iss = t.iss AND k.sub = t.sub
        GROUP BY t.tenant, t.iss, t.sub
    ),
    -- A silence may begin with the last day before a new one, with a new one that is late, and where a finding says so. It ends with
    -- the first day after; refused calls end one too, but do not begin one.
    silences AS MATERIALIZED (
        SELECT tenant, iss, sub, person, quiet, has(known_days, quiet) AS is_known,
            arrayMin(arrayFilter(d -> d > quiet, arrayConcat(ran_days, new_days, arrayMap(c -> toUInt32(intDiv(toUnixTimestamp64Micro(c.1), 86400000000)), calls)))) AS again,
            arraySort(arrayFilter(c -> intDiv(toUnixTimestamp64Micro(c.1), 86400000000) = again, calls)) AS ends
        FROM seen
        ARRAY JOIN arrayDistinct(arrayConcat(known_days, arrayIntersect(new_days, ran_days),
            arrayFilter(d -> d > 0, arrayMap(n -> arrayMax(arrayFilter(d -> d < n, ran_days)), new_days)))) AS quiet
        WHERE again > 0
    )
SELECT
    s.tenant AS tenant,
    [s.iss, s.sub, toString(toDate(s.quiet))] AS subject_key,
    s.again >= s.quiet + {silent_days:UInt32} AS violated,
    if(violated, concat(s.sub, ' called ', if(t.first_tool = '', 'a tool', t.first_tool), if(t.first_server = '', '', concat(' at ', t.first_server)), ' on ', toString(toDate(s.again)),
            ' after ', toString(s.again - s.quiet), ' days without a call'),
        concat(s.sub, ' called a tool on ', toString(toDate(s.again)), ' too')) AS summary,
    if(notEmpty(t.ids), t.first_subject, if(s.person, s.sub, '')) AS subject_sub,
    if(notEmpty(t.ids), t.first_actor, if(s.person, '', s.sub)) AS actor_sub,
    t.first_server AS server_id,
    t.first_tool AS tool_name,
    t.first_ref AS token_ref,
    t.first_task AS task_id,
    t.first_trace AS trace_id,
    if(notEmpty(t.ids), t.ids, arrayDistinct(s.ends.2)) AS evidence,
    if(notEmpty(t.ids), t.first_time, s.ends[1].1) AS first_seen,
    if(notEmpty(t.ids), t.last_time, s.ends[-1].1) AS last_seen,
    'absence' AS coverage,
    'days between on which its calls were not reported look the same' AS coverage_note,
    arraySort(t.sources) AS coverage_sources
FROM silences AS s
LEFT JOIN touched AS t ON t.tenant = s.tenant AND t.iss = s.iss AND t.sub = s.sub AND t.day = s.again
WHERE violated AND notEmpty(evidence) AND (notEmpty(t.ids) OR NOT s.is_known) OR NOT violated AND s.is_known
