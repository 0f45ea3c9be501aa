-- Is something critical that nobody has acted on?
-- Row: one tenant and one rule with critical findings that are open.
-- Units: findings; one is enough.
-- Not covered: findings that somebody acknowledged, was assigned or excepted.
-- Empty: Nothing critical is open.
SELECT
    tenant,
    rule,
    count() AS findings
FROM worklist
WHERE severity = 'critical' AND status = 'open' AND opened_time <= {to:DateTime64(3)}
GROUP BY tenant, rule
ORDER BY tenant, rule
