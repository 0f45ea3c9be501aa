-- Each was opened, and half of them somebody has acted on since.
INSERT INTO finding_history (tenant, key, time, id, action, actor_sub, comment, last_seen, evidence)
SELECT tenant, key, opened_time + toIntervalMinute(act.2), reinterpretAsUUID(sipHash128(key, act.1)), act.1, if(act.1 = 'opened', '', 'carol'), 'as the rule says', last_seen, evidence
FROM finding_states
ARRAY JOIN if(sipHash64(key) % 2 = 0, [('opened', 0)], [('opened', 0), ('acknowledged', 30), ('resolved', 90)]) AS act
