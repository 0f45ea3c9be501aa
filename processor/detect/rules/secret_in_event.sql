-- Which sources send secrets in their events? One row is one source and form of secret.
SELECT
    tenant,
    [source, form] AS subject_key,
    true AS violated,
    argMin(concat(source, ' sent a secret in an event: ', form, '; it was ', if(kept, 'replaced by its reference', 'dropped')), (time, id)) AS summary,
    argMin(subject, (time, id)) AS subject_sub,
    argMin(actor, (time, id)) AS actor_sub,
    argMin(server, (time, id)) AS server_id,
    argMin(tool, (time, id)) AS tool_name,
    '' AS token_ref,
    argMin(task, (time, id)) AS task_id,
    argMin(trace, (time, id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(id))) AS evidence,
    min(time) AS first_seen,
    max(time) AS last_seen,
    'recorded' AS coverage,
    'the collector found it and says so in the event''s warnings, with the field' AS coverage_note,
    [source] AS coverage_sources
FROM
(
    SELECT tenant, id, time, toString(source_id) AS source, subject_sub AS subject, actor_sub AS actor, toString(server_id) AS server, toString(tool_name) AS tool,
        task_id AS task, trace_id AS trace, startsWith(warning, 'secret replaced: ') AS kept,
        -- The rest names the field, which may be a key that the source chose.
        if(kept, splitByString(' in ', substring(warning, length('secret replaced: ') + 1))[1], 'by the name of its field') AS form
    FROM events
    ARRAY JOIN arrayFilter(w -> startsWith(w, 'secret replaced: ') OR startsWith(w, 'secret dropped: '), arrayMap(w -> toString(w), warnings)) AS warning
    WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
)
GROUP BY tenant, source, form
