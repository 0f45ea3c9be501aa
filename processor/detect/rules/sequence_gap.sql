-- Which numbers of its own counter did a source leave out? One row is one run of a source.
WITH
    fresh AS MATERIALIZED (
        SELECT DISTINCT tenant, source_id, run
        FROM source_sequences
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    ),
    -- The whole run, as bitmaps that the table keeps (its projection): the cost is that of a bit for each number.
    blocks AS MATERIALIZED (
        SELECT tenant, source_id, run, intDiv(sequence, 65536) AS block, groupBitmapState(sequence) AS numbers
        FROM source_sequences
        WHERE (tenant, source_id, run) IN (SELECT tenant, source_id, run FROM fresh)
        GROUP BY tenant, source_id, run, block
    ),
    -- What came so lately that lower numbers may still be under way.
    recent AS MATERIALIZED (
        SELECT tenant, source_id, run, intDiv(sequence, 65536) AS block, groupBitmapState(sequence) AS numbers
        FROM source_sequences
        WHERE stored_time >= greatest({to:DateTime64(6, 'UTC')}, now64(6, 'UTC') - toIntervalMillisecond({delay_ms:UInt64}))
            AND (tenant, source_id, run) IN (SELECT tenant, source_id, run FROM fresh)
        GROUP BY tenant, source_id, run, block
    ),
    horizons AS MATERIALIZED (
        SELECT b.tenant AS tenant, b.source_id AS source_id, b.run AS run, max(bitmapMax(bitmapAndnot(b.numbers, r.numbers))) AS horizon
        FROM blocks AS b
        LEFT JOIN recent AS r ON r.tenant = b.tenant AND r.source_id = b.source_id AND r.run = b.run AND r.block = b.block
        GROUP BY tenant, source_id, run
    ),
    settled AS (
        SELECT b.tenant AS tenant, b.source_id AS source_id, b.run AS run, b.block AS block, bitmapSubsetInRange(b.numbers, 0, h.horizon + 1) AS numbers
        FROM blocks AS b
        INNER JOIN horizons AS h ON h.tenant = b.tenant AND h.source_id = b.source_id AND h.run = b.run
        WHERE bitmapCardinality(numbers) > 0
    ),
    spans AS (
        SELECT *, lagInFrame(bitmapMax(numbers), 1, 0) OVER (PARTITION BY tenant, source_id, run ORDER BY block) AS before, bitmapMax(numbers) - before - bitmapCardinality(numbers) AS missing
        FROM settled
    ),
    -- Only the first and the last block with a gap are looked into, at most 65,536 numbers each.
    holes AS (
        SELECT *, min(block) OVER run_of AS first_block, max(block) OVER run_of AS last_block, sum(missing) OVER run_of AS all_missing
        FROM spans
        WHERE missing > 0
        WINDOW run_of AS (PARTITION BY tenant, source_id, run)
    ),
    gaps AS MATERIALIZED (
        SELECT tenant, source_id, run, any(all_missing) AS missing, argMin(ranges[1], block) AS first_gap, argMax(ranges[-1], block) AS last_gap
        FROM (
            SELECT *, arraySort(arrayConcat([before], bitmapToArray(numbers))) AS came,
                arrayFilter(g -> g.1 <= g.2, arrayMap((low, high) -> (low + 1, high - 1), arrayPopBack(came), arrayPopFront(came))) AS ranges
            FROM holes
            WHERE block IN (first_block, last_block)
        )
        GROUP BY tenant, source_id, run
    ),
    edges AS MATERIALIZED (
        SELECT tenant, source_id, run, min(time) AS first_seen, max(time) AS last_seen, arrayMap(x -> toUUID(x), arraySort(groupUniqArray(100)(toString(event_id)))) AS evidence
        FROM source_sequences
        WHERE (tenant, source_id, run, sequence) IN (SELECT tenant, source_id, run, arrayJoin([first_gap.1 - 1, first_gap.2 + 1, last_gap.1 - 1, last_gap.2 + 1]) FROM gaps)
        GROUP BY tenant, source_id, run
    )
SELECT
    f.tenant AS tenant,
    [toString(f.source_id), f.run] AS subject_key,
    g.missing > 0 AS violated,
    if(violated,
        concat(toString(f.source_id), ' left out ', toString(g.missing), if(g.missing = 1, ' number: ', ' numbers: '),
            toString(g.first_gap.1), if(g.first_gap.2 = g.first_gap.1, '', concat('-', toString(g.first_gap.2))),
            if(g.last_gap = g.first_gap, '', concat(if(g.missing = g.first_gap.2 - g.first_gap.1 + g.last_gap.2 - g.last_gap.1 + 2, ' and ', ' to '),
                toString(g.last_gap.1), if(g.last_gap.2 = g.last_gap.1, '', concat('-', toString(g.last_gap.2)))))),
        concat(toString(f.source_id), ' left out no number; what was missing came later')) AS summary,
    '' AS subject_sub,
    '' AS actor_sub,
    '' AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    e.evidence AS evidence,
    e.first_seen AS first_seen,
    e.last_seen AS last_seen,
    'absence' AS coverage,
    'the source numbers its events from 1, and every number up to the highest should be there' AS coverage_note,
    [toString(f.source_id)] AS coverage_sources
FROM fresh AS f
LEFT JOIN gaps AS g ON g.tenant = f.tenant AND g.source_id = f.source_id AND g.run = f.run
LEFT JOIN edges AS e ON e.tenant = f.tenant AND e.source_id = f.source_id AND e.run = f.run
WHERE g.missing > 0 OR (f.tenant, [toString(f.source_id), f.run]) IN (SELECT tenant, subject_key FROM findings WHERE rule = 'sequence_gap' AND status = 'open')
