-- How far are the access reviews?
-- Row: all lines of the reviews that match the variables and were created by the end of the range; a closed review counts too.
-- Units: lines; "undecided" nobody decided about in a review that is not closed, "missed" in one that is; "ownerless" lines that nobody answers for; "decided" the part of all lines that has a decision.
-- Not covered: whether what was revoked is gone: see below.
-- Empty: No access review was created.
SELECT
    uniqExact(s.tenant, s.review) AS reviews,
    count() AS lines,
    countIf(decision = 'open' AND NOT closed) AS undecided,
    countIf(decision = 'open' AND closed) AS missed,
    countIf(decision = 'certified') AS certified,
    countIf(decision = 'revoked') AS revoked,
    countIf(decision = 'excepted') AS excepted,
    countIf(owner = '') AS ownerless,
    if(count() = 0, NULL, countIf(decision != 'open') / count()) AS decided
FROM
(
    SELECT *, (tenant, review) IN (SELECT tenant, review FROM review_acts WHERE action = 'closed') AS closed
    FROM review_states
    WHERE (tenant, review) IN (SELECT tenant, id FROM reviews WHERE created_time <= {to:DateTime64(3)})
      AND ({tenant:String} = '*' OR tenant = {tenant:String})
      AND ({review:String} = '*' OR toString(review) = {review:String})
) AS s
