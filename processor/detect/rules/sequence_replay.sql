-- Under which numbers of its own counter did a source send two events? One row is one run of a source.
WITH
    fresh AS MATERIALIZED (
        SELECT DISTINCT tenant, source_id, run, intDiv(sequence, 65536) AS block
        FROM source_sequences
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    ),
    -- More events than numbers, as the table's projection counts them; only such blocks are read.
    crowded AS MATERIALIZED (
        SELECT tenant, source_id, run, intDiv(sequence, 65536) AS block
        FROM source_sequences
        WHERE (tenant, source_id, run, intDiv(sequence, 65536)) IN (SELECT tenant, source_id, run, block FROM fresh)
        GROUP BY tenant, source_id, run, block
        HAVING count() > groupBitmap(sequence)
    ),
    twice AS MATERIALIZED (
        SELECT tenant, source_id, run, sequence, uniqExact(event_id) AS events, groupArraySorted(100)(toString(event_id)) AS ids, min(time) AS first_time, max(time) AS last_time
        FROM source_sequences
        WHERE (tenant, source_id, run, intDiv(sequence, 65536)) IN (SELECT tenant, source_id, run, block FROM crowded)
        GROUP BY tenant, source_id, run, sequence
        HAVING events > 1
    )
SELECT
    tenant,
    [toString(source_id), run] AS subject_key,
    true AS violated,
    concat(toString(source_id), ' sent ', toString(argMin(events, sequence)), ' events under number ', toString(min(sequence)),
        if(min(sequence) = max(sequence), '', ' and more under others')) AS summary,
    '' AS subject_sub,
    '' AS actor_sub,
    '' AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(id)) AS evidence,
    min(first_time) AS first_seen,
    max(last_time) AS last_seen,
    'recorded' AS coverage,
    'both events are stored, under different ids' AS coverage_note,
    [toString(source_id)] AS coverage_sources
FROM twice
ARRAY JOIN ids AS id
GROUP BY tenant, source_id, run
