-- Which sources left out numbers of their own counter? One row is one run of a source.
WITH
    fresh AS MATERIALIZED (
        SELECT DISTINCT tenant, source_id,
            if(endsWith(source_event_id, concat('-', toString(source_sequence))), substring(source_event_id, 1, length(source_event_id) - length(toString(source_sequence)) - 1), '') AS run
        FROM events
        WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND source_sequence > 0
    ),
    runs AS MATERIALIZED (
        SELECT tenant, source_id, run, groupBitmapMerge(numbers) AS came, bitmapMax(groupBitmapMergeState(numbers)) AS highest,
            groupBitmapMerge(s.events) AS events_came, argMaxMerge(last_event) AS last_id, min(first_time) AS first_seen, max(last_time) AS last_seen
        FROM source_sequences AS s
        WHERE (tenant, source_id, run) IN (SELECT tenant, source_id, run FROM fresh)
        GROUP BY tenant, source_id, run
    )
SELECT
    tenant,
    [toString(source_id), run] AS subject_key,
    highest > came OR run != '' AND events_came > came AS violated,
    multiIf(highest > came, concat(toString(source_id), ' numbered its events to ', toString(highest), ' and ', toString(highest - came), if(highest - came = 1, ' is', ' are'), ' missing'),
        violated, concat(toString(source_id), ' sent ', toString(events_came), ' events under ', toString(came), ' numbers'),
        concat(toString(source_id), ' left out none of its ', toString(highest), ' numbers; they came later')) AS summary,
    '' AS subject_sub,
    '' AS actor_sub,
    '' AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    [last_id] AS evidence,
    first_seen,
    last_seen,
    'absence' AS coverage,
    'the source numbers its events from 1, and every number up to the highest should be there' AS coverage_note,
    [toString(source_id)] AS coverage_sources
FROM runs
