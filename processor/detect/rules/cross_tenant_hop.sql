-- Between which issuers do delegations go over? One row is one issuer and one whose actors act for it.
SELECT
    tenant,
    [hop.1.1, hop.2.1] AS subject_key,
    true AS violated,
    argMin(concat(hop.2.2, ' of ', hop.2.1, ' acts for ', hop.1.2, ' of ', hop.1.1, if(e.server_id = '', '', concat(' at ', e.server_id))), (time, id)) AS summary,
    argMin(e.subject_sub, (time, id)) AS subject_sub,
    argMin(e.actor_sub, (time, id)) AS actor_sub,
    argMin(toString(e.server_id), (time, id)) AS server_id,
    argMin(toString(e.tool_name), (time, id)) AS tool_name,
    argMin(e.token_ref, (time, id)) AS token_ref,
    argMin(e.task_id, (time, id)) AS task_id,
    argMin(e.trace_id, (time, id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(id))) AS evidence,
    min(time) AS first_seen,
    max(time) AS last_seen,
    'recorded' AS coverage,
    'the event names both with their issuers' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(source_id))) AS coverage_sources
FROM (
    SELECT *,
        -- From the subject to the actor; chain begins with the actor.
        arrayConcat([(toString(subject_iss), subject_sub)],
            if(empty(chain_sub), [(toString(actor_iss), actor_sub)], arrayReverse(arrayZip(arrayMap(i -> toString(i), chain_iss), chain_sub)))) AS parties,
        arrayJoin(arrayDistinct(arrayFilter(h -> h.1.1 != '' AND h.2.1 != '' AND h.1.1 != h.2.1 AND NOT match(h.2.1, {trusted:String}),
            arrayZip(arrayPopBack(parties), arrayPopFront(parties))))) AS hop
    FROM events
    WHERE stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')} AND (actor_sub != '' OR notEmpty(chain_sub))
        AND (type = 'mcp.tools.call' AND outcome IN ('success', 'failure') OR kind = 'token_exchange' AND outcome = 'success')
) AS e
GROUP BY tenant, hop.1.1, hop.2.1
