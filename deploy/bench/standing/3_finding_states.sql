-- One call in 500 is found wrong by one of 40 rules.
INSERT INTO finding_states
SELECT tenant, lower(hex(SHA256(toString(id)))) AS key, concat('rule_', toString(sipHash64(id, 1) % 40)) AS rule, 1, [toString(id)],
    CAST(sipHash64(id, 2) % 5 + 1, 'Enum8(\'info\' = 1, \'low\' = 2, \'medium\' = 3, \'high\' = 4, \'critical\' = 5)'), if(sipHash64(id, 3) % 3 = 0, 'auto_resolved', 'open'),
    'A call that is not as it should be', concat(actor_sub, ' called ', tool_name), subject_sub, actor_sub, server_id, tool_name, token_ref, task_id, trace_id, [id],
    time, time, 'recorded', 'every call that was stored is counted', [source_id], time + toIntervalSecond(60), time + toIntervalSecond(60)
FROM records
WHERE kind = 'tool_invocation' AND sipHash64(id) % 500 = 0
