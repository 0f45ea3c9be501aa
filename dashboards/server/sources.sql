-- Which servers are these, and who reports on them?
-- Row: one server of one tenant in one version, with one source.
-- Units: events of every kind.
-- Not covered: the owner and the sensitivity of a server, for there is no catalogue yet. Version and URI are what the source says. The variable agent does not apply.
-- Empty: No event names a server.
SELECT
    tenant,
    server_id AS server,
    server_uri AS uri,
    server_version AS version,
    source_id AS source,
    arrayStringConcat(arraySort(groupUniqArray(kind)), ' ') AS kinds,
    count() AS events,
    min(time) AS first,
    max(time) AS last
FROM events
WHERE time >= {from:DateTime64(3)} AND time <= {to:DateTime64(3)}
  AND server_id != ''
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
GROUP BY tenant, server, uri, version, source
ORDER BY tenant, server, version, source
LIMIT 500
