-- What was found, what does it rest on, and what was done about it?
-- Row: one thing that happened to the finding whose key is given, the newest first: the detections opened it, or somebody acted.
-- Units: none; "evidence" counts the events that it rested on then.
-- Not covered: findings whose key is not given in full.
-- Empty: "Start" is not the key of a finding.
SELECT
    h.time AS time,
    toString(h.action) AS action,
    if(h.actor_sub = '', 'the detections', h.actor_sub) AS by,
    h.comment AS comment,
    f.tenant AS tenant,
    f.rule AS rule,
    toString(f.severity) AS severity,
    f.summary AS summary,
    toString(f.coverage) AS coverage,
    f.coverage_note AS rests_on,
    f.status AS status,
    length(f.evidence) AS evidence
FROM worklist AS f
LEFT JOIN finding_history AS h ON h.tenant = f.tenant AND h.key = f.key
WHERE toString(f.key) = {start:String}
  AND ({tenant:String} = '*' OR f.tenant = {tenant:String})
ORDER BY h.time DESC, h.id
LIMIT 200
