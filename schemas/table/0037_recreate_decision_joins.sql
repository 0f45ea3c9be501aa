-- One row is one way to tell that a call and a decision belong together: both have the same key. By the decision's id; by JSON-RPC id
-- with token or trace, since that id alone is unique on one connection only; by trace, for a side that knows no JSON-RPC id. Made anew
-- with what a verdict says of a decision.
CREATE OR REPLACE VIEW decision_joins AS
SELECT
    tenant,
    join_key,
    id,
    kind,
    type,
    time,
    stored_time,
    outcome,
    source_id,
    server_id,
    tool_name,
    jsonrpc_id,
    decision_effect,
    tool_duration_ms,
    if(kind = 'permission_decision', decision_id, correlation_decision_id) AS named_decision_id,
    decision_engine,
    decision_policy,
    decision_policy_version
FROM records
ARRAY JOIN arrayFilter(k -> k.1 != '', [
    (if(if(kind = 'permission_decision', decision_id, correlation_decision_id) != '', 'decision', ''),
        if(kind = 'permission_decision', decision_id, correlation_decision_id), '', '', ''),
    (if(jsonrpc_id != '' AND token_ref != '', 'token', ''), toString(server_id), toString(tool_name), jsonrpc_id, token_ref),
    (if(jsonrpc_id != '' AND trace_id != '', 'trace', ''), toString(server_id), toString(tool_name), jsonrpc_id, trace_id),
    (if(trace_id != '', 'trace only', ''), toString(server_id), toString(tool_name), trace_id, token_ref)
]) AS join_key
WHERE state = 'stored' AND (kind = 'permission_decision' OR type = 'mcp.tools.call')
