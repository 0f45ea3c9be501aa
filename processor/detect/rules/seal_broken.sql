-- Where do stored records differ from what was sealed? One row is one place and one tenant that has records there or beside.
SELECT
    tenant,
    [topic, toString(partition), epoch, kind, toString(first_offset), toString(last_offset)] AS subject_key,
    true AS violated,
    concat('partition ', toString(partition), ' of ', topic, if(first_offset = last_offset, concat(', offset ', toString(first_offset)), concat(', offsets ', toString(first_offset), ' to ', toString(last_offset))),
        ': ', kind, ': ', any(detail)) AS summary,
    '' AS subject_sub,
    '' AS actor_sub,
    '' AS server_id,
    '' AS tool_name,
    '' AS token_ref,
    '' AS task_id,
    '' AS trace_id,
    arraySort(groupUniqArrayArray(100)(evidence)) AS evidence,
    min(found_time) AS first_seen,
    min(found_time) AS last_seen,
    'recorded' AS coverage,
    'signed checkpoints and the stored rows say so' AS coverage_note,
    []::Array(String) AS coverage_sources
FROM seal_discrepancies
WHERE tenant != ''
GROUP BY tenant, topic, partition, epoch, kind, first_offset, last_offset
