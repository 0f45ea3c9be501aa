-- Which access reviews are there?
-- Row: one review of the tenant chosen, by its id.
-- Units: none.
-- Not covered: reviews that were created after the range.
-- Empty: No access review was created.
SELECT toString(id) AS review
FROM reviews
WHERE created_time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
GROUP BY id
ORDER BY max(created_time) DESC, review
LIMIT 1000
