-- For whom does nobody answer?
-- Row: one identity or server of one review that has no owner in the registry, as the review was frozen.
-- Units: "lines" of the review that are about it; "registered" tells whether it has an owner by what was seen of it last: then a new review finds it.
-- Not covered: owners of tools and policies.
-- Empty: Everybody and everything that the reviews are about has an owner.
SELECT
    tenant,
    name,
    JSONExtractString(missing, 'kind') AS kind,
    JSONExtractString(missing, 'name') AS ownerless,
    JSONExtractUInt(missing, 'lines') AS lines,
    if(kind = 'identity' AND (tenant, ownerless) IN (SELECT tenant, sub FROM privilege_states GROUP BY tenant, sub HAVING max(holder).3 != ''), 'yes', 'no') AS registered,
    toString(id) AS review
FROM
(
    SELECT tenant, id, any(created_time) AS created, JSONExtractString(any(frozen), 'name') AS name, arrayJoin(JSONExtractArrayRaw(any(frozen), 'unowned')) AS missing
    FROM reviews
    WHERE created_time <= {to:DateTime64(3)}
      AND ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({review:String} = '*' OR toString(id) = {review:String})
    GROUP BY tenant, id
)
ORDER BY created DESC, review, lines DESC, kind, ownerless
LIMIT 500
