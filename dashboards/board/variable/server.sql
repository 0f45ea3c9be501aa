-- Which MCP servers had events?
-- Row: one server id of the tenant chosen.
-- Units: none.
-- Not covered: servers that no source names, or without an event in the range, or in its last seven days when it is longer: type the id of another.
-- Empty: No event in this range names a server.
SELECT DISTINCT server_id AS server
FROM events
WHERE time >= greatest({from:DateTime64(3)}, {to:DateTime64(3)} - toIntervalDay(7)) AND time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND server_id != ''
ORDER BY server
LIMIT 1000
