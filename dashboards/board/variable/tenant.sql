-- Which tenants had events?
-- Row: one tenant.
-- Units: none.
-- Not covered: tenants without an event in the range.
-- Empty: No event in this range.
SELECT DISTINCT tenant
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
ORDER BY tenant
LIMIT 1000
