-- One row is what somebody was granted, or used, at a server, as it stands: judged_privileges(since = T, judged = T) takes when the window
-- begins in which a use counts, and when a grant must be older than, and calls of its server seen for as long. docs/analyst.md says what
-- the states mean. A time of 1970 is none. The tokens of a grant that went again and was never
-- used were at risk too.
CREATE VIEW IF NOT EXISTS judged_privileges AS
WITH toDateTime64(0, 6, 'UTC') AS none, {since:DateTime64(6, 'UTC')} AS since, {judged:DateTime64(6, 'UTC')} AS judged
SELECT
    p.*,
    c.calls_first AS calls_first,
    multiIf(
        p.removed > none AND p.removed >= p.granted_last, 'removed',
        p.granted_last = none, 'no_grant_seen',
        p.used_last >= since, 'used',
        p.granted_last < since, 'lapsed',
        p.maybe_last >= since, 'maybe_used',
        p.granted_first > judged, 'young',
        c.calls_last < since OR c.calls_first > judged, 'not_covered',
        p.used_last > none, 'not_used_lately',
        'never_used') AS state,
    state IN ('never_used', 'not_used_lately') AS unused,
    multiIf(p.static_last >= since, 'static', empty(p.tokens_by_lifetime), 'unknown', arrayMax(mapKeys(p.tokens_by_lifetime)) > 86400, 'long_lived', 'short_lived') AS credential,
    if(empty(p.tokens_by_lifetime), 0, arrayMax(mapKeys(p.tokens_by_lifetime))) AS max_lifetime,
    if(unused OR state IN ('lapsed', 'removed') AND p.used_last = none AND p.maybe_last = none, arraySum(arrayMap((l, n) -> l * n, mapKeys(p.tokens_by_lifetime), mapValues(p.tokens_by_lifetime))), 0) AS risk_seconds
FROM privileges AS p
LEFT JOIN
(
    SELECT tenant, server_id, min(first_time) AS calls_first, max(last_time) AS calls_last
    FROM coverage_states
    WHERE kind = 'tool_invocation'
    GROUP BY tenant, server_id
) AS c ON c.tenant = p.tenant AND c.server_id = p.server_id
