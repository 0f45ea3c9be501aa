-- One row is which sources report the exchanges and the tokens of an issuer in one hour: each with when it was heard of first and last,
-- from the hour before to the hour after. It covers a time between the two.
CREATE VIEW IF NOT EXISTS issuer_coverage AS
SELECT tenant, issuer, at AS hour, arraySort(groupArray((source_id, first_time, last_time))) AS heard
FROM
(
    SELECT tenant, issuer, source_id, arrayJoin([hour - 3600, hour, hour + 3600]) AS at, min(first_time) AS first_time, max(last_time) AS last_time
    FROM coverage_states
    WHERE kind IN ('token_exchange', 'credential')
    GROUP BY tenant, issuer, source_id, at
)
GROUP BY tenant, issuer, at
