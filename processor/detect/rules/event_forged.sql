-- Which ids stand for two contents? One row is one id with the content that came first and one that came later.
WITH
    fresh AS MATERIALIZED (
        SELECT tenant, id, time, toStartOfHour(time) AS hour
        FROM records
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND state IN ('stored', 'conflict')
    ),
    -- The first 48 bits of an id are its event's time in milliseconds: the parts of the table that are older are not read.
    twice AS MATERIALIZED (
        SELECT id
        FROM records
        WHERE (tenant, toStartOfHour(time)) IN (SELECT DISTINCT tenant, hour FROM fresh)
            AND time >= (SELECT min(time) FROM fresh) - INTERVAL 1 MILLISECOND AND time <= (SELECT max(time) FROM fresh) + INTERVAL 1 MILLISECOND
            AND id IN (SELECT id FROM fresh) AND state IN ('stored', 'conflict')
        GROUP BY id
        HAVING count() > 1 OR max(state = 'conflict')
    ),
    forged AS MATERIALIZED (
        SELECT tenant, id, any(toStartOfHour(time)) AS hour
        FROM records
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM fresh WHERE id IN (SELECT id FROM twice)) AND id IN (SELECT id FROM twice) AND state IN ('stored', 'conflict')
        GROUP BY tenant, id
        HAVING min(content_hash) != max(content_hash) OR countIf(state = 'conflict') > 0
    ),
    -- Of each content the delivery that came first; what the processor set aside came after what it stored.
    contents AS MATERIALIZED (
        SELECT tenant, id, lower(hex(content_hash)) AS hash, min((state = 'conflict', stored_time, epoch, partition, offset)) AS at, count() AS deliveries, min(time) AS event_time,
            argMin((source_id, subject_sub, actor_sub, server_id, tool_name, token_ref, task_id, trace_id), (state = 'conflict', stored_time, epoch, partition, offset)) AS said
        FROM records
        WHERE (tenant, toStartOfHour(time)) IN (SELECT DISTINCT tenant, hour FROM forged) AND id IN (SELECT id FROM forged) AND state IN ('stored', 'conflict')
        GROUP BY tenant, id, content_hash
    ),
    firsts AS MATERIALIZED (
        SELECT tenant, id, argMin((hash, at, said), at) AS first
        FROM contents
        WHERE at.1 = 0
        GROUP BY tenant, id
    )
SELECT
    c.tenant AS tenant,
    arraySort([toString(c.id), c.hash, f.first.1]) AS subject_key,
    true AS violated,
    multiIf(
        f.first.1 = '', concat(c.said.1, ' sent an event with the id of another tenant''s; it is in quarantine'),
        c.at.1 = 1, concat(c.said.1, ' sent an event again with other content; it is in quarantine'),
        concat(c.said.1, ' sent an event again with other content, and both are shown as events')) AS summary,
    if(f.first.1 = '', c.said.2, f.first.3.2) AS subject_sub,
    if(f.first.1 = '', c.said.3, f.first.3.3) AS actor_sub,
    toString(if(f.first.1 = '', c.said.4, f.first.3.4)) AS server_id,
    toString(if(f.first.1 = '', c.said.5, f.first.3.5)) AS tool_name,
    if(f.first.1 = '', c.said.6, f.first.3.6) AS token_ref,
    if(f.first.1 = '', c.said.7, f.first.3.7) AS task_id,
    if(f.first.1 = '', c.said.8, f.first.3.8) AS trace_id,
    [c.id] AS evidence,
    c.event_time AS first_seen,
    c.event_time AS last_seen,
    'recorded' AS coverage,
    concat(
        if(f.first.1 = '', 'the first record is another tenant''s',
            concat('first: content ', f.first.1, ' of ', f.first.3.1, ' in partition ', toString(f.first.2.4), ' at offset ', toString(f.first.2.5), ' of epoch ', f.first.2.3)),
        '; then: content ', c.hash, ' of ', c.said.1, ' in partition ', toString(c.at.4), ' at offset ', toString(c.at.5), ' of epoch ', c.at.3) AS coverage_note,
    arraySort(arrayDistinct(arrayFilter(s -> s != '', [toString(c.said.1), toString(f.first.3.1)]))) AS coverage_sources
FROM contents AS c
LEFT JOIN firsts AS f ON f.tenant = c.tenant AND f.id = c.id
WHERE c.hash != f.first.1
