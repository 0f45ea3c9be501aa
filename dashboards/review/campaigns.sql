-- Which reviews are there, and how far is each?
-- Row: one access review; the newest first.
-- Units: lines; "open" of them nobody decided about, "ownerless" nobody answers for; "decided" the part with a decision; "open_for" seconds from its creation to the end of the range, or until it was closed; "checkpoints" signed heads of the log that are frozen in it, "witnessed" of them somebody else cosigned.
-- Not covered: whether its rows are what was frozen: "custody review show" checks the digest.
-- Empty: No access review was created.
SELECT
    r.tenant AS tenant,
    name,
    created,
    by,
    if(ended > toDateTime64(0, 6, 'UTC'), 'closed', 'running') AS state,
    dateDiff('second', created, if(ended > toDateTime64(0, 6, 'UTC'), ended, toDateTime64({to:DateTime64(3)}, 6, 'UTC'))) AS open_for,
    lines,
    open,
    ownerless,
    if(lines = 0, NULL, (lines - open) / lines) AS decided,
    length(r.checkpoints) AS checkpoints,
    toUInt64(arrayCount(c -> notEmpty(JSONExtractArrayRaw(c, 'witnesses')), r.checkpoints)) AS witnessed,
    toString(r.id) AS review
FROM
(
    SELECT tenant, id, any(created_time) AS created, JSONExtractString(any(frozen), 'name') AS name, JSONExtractString(any(frozen), 'created_by') AS by, JSONExtractArrayRaw(any(frozen), 'checkpoints') AS checkpoints
    FROM reviews
    WHERE created_time <= {to:DateTime64(3)}
      AND ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({review:String} = '*' OR toString(id) = {review:String})
    GROUP BY tenant, id
) AS r
LEFT JOIN
(
    SELECT tenant, review, count() AS lines, countIf(decision = 'open') AS open, countIf(owner = '') AS ownerless
    FROM review_states
    WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({review:String} = '*' OR toString(review) = {review:String})
    GROUP BY tenant, review
) AS s ON s.tenant = r.tenant AND s.review = r.id
LEFT JOIN
(
    SELECT tenant, review, min(time) AS ended
    FROM review_acts
    WHERE action = 'closed'
    GROUP BY tenant, review
) AS c ON c.tenant = r.tenant AND c.review = r.id
ORDER BY created DESC, tenant, review
LIMIT 200
