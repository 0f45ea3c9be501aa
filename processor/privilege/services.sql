-- Which tasks and sessions did each token serve, by what is new? Written again it changes nothing.
INSERT INTO token_services (tenant, iss, sub, ref, last_time, tasks, sessions)
SELECT tenant, if(actor_sub != '', actor_iss, subject_iss) AS iss, if(actor_sub != '', actor_sub, subject_sub) AS sub, token_ref AS ref, max(records.time) AS last_time,
    uniqCombined64StateIf(12)(task_id, task_id != '') AS tasks, uniqCombined64StateIf(12)(session_id, session_id != '') AS sessions
FROM records
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    AND kind = 'tool_invocation' AND token_ref != '' AND (actor_sub != '' OR subject_sub != '') AND (task_id != '' OR session_id != '')
GROUP BY tenant, iss, sub, ref
