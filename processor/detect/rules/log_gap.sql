-- Which records left the log before they were stored? One row is one gap and one tenant with records right before or after it.
WITH
    -- Those that every tenant was told of are left alone: what is below would be read in every round.
    gaps AS MATERIALIZED (
        SELECT l.topic AS topic, l.epoch AS epoch, l.partition AS partition, argMax(l.base + l.size, l.time) AS end, argMax(l.next_epoch, l.time) AS next,
            argMax(l.next_base, l.time) AS begin, argMax(l.lost_to - l.lost_from, l.time) AS lost, argMax(l.lost_from, l.time) AS lost_from,
            argMax(l.reason, l.time) AS reason, max(l.time) AS at
        FROM log_gaps AS l
        WHERE (l.topic, toString(l.partition), l.epoch) NOT IN (SELECT subject_key[1], subject_key[2], subject_key[3] FROM findings WHERE rule = 'log_gap')
        GROUP BY l.topic, l.epoch, l.partition
    ),
    beside AS MATERIALIZED (
        SELECT DISTINCT topic, epoch, partition, offset, tenant
        FROM records
        WHERE (SELECT count() FROM gaps) > 0 AND tenant != ''
            AND ((topic, epoch, partition) IN (SELECT topic, epoch, partition FROM gaps) AND offset + 10000 >= (SELECT min(end) FROM gaps)
                OR (topic, epoch, partition) IN (SELECT topic, next, partition FROM gaps) AND offset < (SELECT max(begin) FROM gaps) + 10000)
    )
SELECT
    b.tenant AS tenant,
    [g.topic, toString(g.partition), g.epoch] AS subject_key,
    true AS violated,
    concat('partition ', toString(g.partition), ' of ', g.topic, ' was closed at offset ', toString(g.end), ' (', g.reason, '); ',
        if(g.lost = 0, 'which records are missing is not known', concat(toString(g.lost), ' records from offset ', toString(g.lost_from), ' on were never read')), '; it goes on at ', toString(g.begin)) AS summary,
    '' AS subject_sub,
    '' AS actor_sub,
    '' AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    []::Array(UUID) AS evidence,
    g.at AS first_seen,
    g.at AS last_seen,
    'absence' AS coverage,
    'the records themselves are gone; tenants are those with records within 10,000 offsets of the gap' AS coverage_note,
    []::Array(String) AS coverage_sources
FROM gaps AS g
INNER JOIN beside AS b ON b.topic = g.topic AND b.partition = g.partition
WHERE b.epoch = g.epoch AND b.offset + 10000 >= g.end OR b.epoch = g.next AND b.offset < g.begin + 10000
GROUP BY b.tenant, g.topic, g.partition, g.epoch, g.end, g.next, g.begin, g.lost, g.lost_from, g.reason, g.at
