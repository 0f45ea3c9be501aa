-- Which tenants had events?
-- Row: one tenant.
-- Units: none.
-- Not covered: tenants without an event in the range, or in its last seven days when it is longer: type the name of another.
-- Empty: No event in this range.
SELECT DISTINCT tenant
FROM events
WHERE time >= greatest({from:DateTime64(3)}, {to:DateTime64(3)} - toIntervalDay(7)) AND time <= {to:DateTime64(3)}
ORDER BY tenant
LIMIT 1000
