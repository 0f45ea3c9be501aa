package sigma

import "fmt"

// window is what was stored in the time to judge.
const window = "stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}"

// who tells in words who did what where.
const who = `concat(if(identity = '', 'somebody', identity), if(actor_sub = '' OR subject_sub = '' OR actor_sub = subject_sub, '', concat(' on behalf of ', subject_sub)),
        if(tool_name = '', '', concat(', ', tool_name)), if(server_id = '', '', concat(' at ', server_id)))`

// single is the query of a rule about single events: one finding is one
// identity at one server with one tool.
func single(b *binder, title, where string) string {
	return fmt.Sprintf(`SELECT
    e.tenant AS tenant,
    [toString(if(e.actor_sub != '', e.actor_iss, e.subject_iss)), e.identity, toString(e.server_id), toString(e.tool_name)] AS subject_key,
    true AS violated,
    concat(%[1]s, ': ', argMin(e.said, (e.time, e.id))) AS summary,
    argMin(e.subject_sub, (e.time, e.id)) AS subject_sub,
    argMin(e.actor_sub, (e.time, e.id)) AS actor_sub,
    argMin(toString(e.server_id), (e.time, e.id)) AS server_id,
    argMin(toString(e.tool_name), (e.time, e.id)) AS tool_name,
    argMin(e.token_ref, (e.time, e.id)) AS token_ref,
    argMin(e.task_id, (e.time, e.id)) AS task_id,
    argMin(e.trace_id, (e.time, e.id)) AS trace_id,
    arrayMap(x -> toUUID(x), groupArraySorted(100)(toString(e.id))) AS evidence,
    min(e.time) AS first_seen,
    max(e.time) AS last_seen,
    'recorded' AS coverage,
    'each event is on record' AS coverage_note,
    arraySort(groupUniqArray(10)(toString(e.source_id))) AS coverage_sources
FROM (
    SELECT tenant, id, time, if(actor_sub != '', actor_sub, subject_sub) AS identity, actor_iss, actor_sub, subject_iss, subject_sub, server_id, tool_name, token_ref, task_id, trace_id, source_id,
        %[2]s AS said
    FROM events
    WHERE %[3]s
        AND %[4]s
) AS e
GROUP BY e.tenant, subject_key`, b.text(title), who, window, where)
}
