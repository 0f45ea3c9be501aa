-- Which MCP servers had events?
-- Row: one server id of the tenant chosen.
-- Units: none.
-- Not covered: servers that no source names, or without an event in the range.
-- Empty: No event in this range names a server.
SELECT DISTINCT server_id AS server
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND server_id != ''
ORDER BY server
LIMIT 1000
