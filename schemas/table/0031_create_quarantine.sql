-- One row is one record whose id was stored before with other content: events does not show it. Beside it is the record that
-- came first; first_offset says nothing where first_content_hash is empty: the first record is another tenant's.
CREATE VIEW IF NOT EXISTS quarantine AS
SELECT
    c.tenant AS tenant,
    c.id AS id,
    c.time AS time,
    c.stored_time AS stored_time,
    c.source_id AS source_id,
    c.topic AS topic,
    c.epoch AS epoch,
    c.partition AS partition,
    c.offset AS offset,
    c.content_hash AS content_hash,
    c.leaf_hash AS leaf_hash,
    c.raw AS raw,
    f.stored_time AS first_stored_time,
    f.source_id AS first_source_id,
    f.epoch AS first_epoch,
    f.partition AS first_partition,
    f.offset AS first_offset,
    f.hash AS first_content_hash,
    f.leaf AS first_leaf_hash,
    f.raw AS first_raw
FROM
(
    SELECT tenant, id, time, stored_time, source_id, topic, epoch, partition, offset, lower(hex(content_hash)) AS content_hash, lower(hex(leaf_hash)) AS leaf_hash, raw
    FROM records
    WHERE state = 'conflict'
) AS c
LEFT JOIN
(
    SELECT tenant, id, stored_time, source_id, epoch, partition, offset, lower(hex(content_hash)) AS hash, lower(hex(leaf_hash)) AS leaf, raw
    FROM records
    WHERE state = 'stored'
        AND (tenant, toStartOfHour(time)) IN (SELECT tenant, toStartOfHour(time) FROM records WHERE state = 'conflict')
        AND id IN (SELECT id FROM records WHERE state = 'conflict')
    ORDER BY stored_time, epoch, partition, offset
    LIMIT 1 BY tenant, id
) AS f ON f.tenant = c.tenant AND f.id = c.id
