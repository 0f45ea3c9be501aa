-- When did a policy change?
-- Row: one version of a policy, by its first decision in the range, when another version of the same policy decided before it in the range.
-- Units: none.
-- Not covered: changes of which no decision tells; a version that comes back; beyond 200, the latest.
-- Empty: No policy changed in this range.
SELECT
    first AS time,
    concat(policy, ' is of version ', version) AS text,
    concat(engine, ',', tenant) AS tags
FROM
(
    SELECT
        tenant,
        decision_engine AS engine,
        decision_policy AS policy,
        decision_policy_version AS version,
        min(time) AS first,
        row_number() OVER (PARTITION BY tenant, engine, policy ORDER BY first, version) AS place
    FROM events
    WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
      AND kind = 'permission_decision' AND decision_policy_version != ''
      AND ({tenant:String} = '*' OR tenant = {tenant:String})
    GROUP BY tenant, engine, policy, version
)
WHERE place > 1
ORDER BY first DESC, tenant, policy
LIMIT 200
