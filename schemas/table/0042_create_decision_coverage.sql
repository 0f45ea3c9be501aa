-- One row is which sources of decisions cover a server in one hour: each with when it decided about the server first, and when it was
-- heard of last about any, from the hour before to the hour after. It covers a time between the two.
CREATE VIEW IF NOT EXISTS decision_coverage AS
SELECT a.tenant AS tenant, a.server_id AS server_id, a.at AS hour, arraySort(groupArray((a.source_id, a.first_time, h.last_time))) AS heard
FROM
(
    SELECT tenant, server_id, source_id, arrayJoin([hour - 3600, hour, hour + 3600]) AS at, min(first_time) AS first_time
    FROM coverage_states
    WHERE kind = 'permission_decision'
    GROUP BY tenant, server_id, source_id, at
) AS a
INNER JOIN
(
    SELECT tenant, source_id, arrayJoin([hour - 3600, hour, hour + 3600]) AS at, max(last_time) AS last_time
    FROM coverage_states
    WHERE kind = 'permission_decision'
    GROUP BY tenant, source_id, at
) AS h ON h.tenant = a.tenant AND h.source_id = a.source_id AND h.at = a.at
GROUP BY a.tenant, a.server_id, a.at
