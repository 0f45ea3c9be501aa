-- Two of three lines are decided.
INSERT INTO review_acts (tenant, review, line, time, id, action, actor_sub, reason)
SELECT tenant, review, key, {until:DateTime64(3)} - toIntervalMinute(number % 20000), generateUUIDv4(), if(number % 2 = 0, 'certified', 'revoked'), 'alice', 'by the owner'
FROM (SELECT tenant, review, number, key FROM review_lines WHERE number % 3 != 0)
