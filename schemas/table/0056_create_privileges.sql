-- One row is what somebody was granted, or used, at a server. A time of 1970 is none. The audience of a token is the server that was
-- called by that address or registered with it, if that is one. After more than a week in which a grant was
-- not seen it comes again.
CREATE VIEW IF NOT EXISTS privileges AS
SELECT
    tenant,
    iss,
    sub,
    max(p.holder).2 AS type,
    max(p.holder).3 AS owner,
    if(a.named != '', toString(a.named), toString(p.server)) AS server_id,
    toString(kind) AS kind,
    name,
    arrayFilter(w -> w != '', arrayMap((w, n) -> if(bitTest(groupBitOr(p.how), n), w, ''), ['token', 'exchange', 'decision', 'grant', 'offered', 'credential'], range(6))) AS how,
    if(min(p.granted_first).1 >= toDateTime64('2299-01-01 00:00:00', 6, 'UTC'), toDateTime64(0, 6, 'UTC'), min(p.granted_first).1) AS granted_first,
    min(p.granted_first).2 AS granted_event,
    max(p.granted_last) AS granted_last,
    groupBitmapMerge(p.granted_days) AS granted_days,
    notEmpty(bitmapToArray(groupBitmapMergeState(p.granted_days)) AS days) + arrayCount(gap -> gap > 7, arrayDifference(arraySort(days))) AS granted_times,
    max(p.removed_last).1 AS removed,
    if(min(p.used_first).1 >= toDateTime64('2299-01-01 00:00:00', 6, 'UTC'), toDateTime64(0, 6, 'UTC'), min(p.used_first).1) AS used_first,
    max(p.used_last).1 AS used_last,
    max(p.used_last).2 AS used_event,
    groupBitmapMerge(p.used_days) AS used_days,
    uniqCombined64Merge(12)(p.uses) AS uses,
    max(p.maybe_last) AS maybe_last,
    max(p.static_last) AS static_last,
    uniqCombined64Merge(12)(p.tokens) AS tokens,
    uniqCombined64MapMerge(12)(p.lifetimes) AS tokens_by_lifetime
FROM privilege_states AS p
LEFT JOIN
(
    SELECT tenant, address, any(id) AS named
    FROM
    (
        SELECT tenant, address, server_id AS id FROM server_addresses
        UNION DISTINCT
        SELECT tenant, arrayJoin(arrayConcat(uris, audiences)) AS address, id
        FROM registry_servers
        WHERE (tenant, version) IN (SELECT tenant, argMax(version, since) FROM registry_versions GROUP BY tenant)
    )
    GROUP BY tenant, address
    HAVING uniqExact(id) = 1
) AS a ON a.tenant = p.tenant AND a.address = p.server
GROUP BY tenant, iss, sub, server_id, kind, name
