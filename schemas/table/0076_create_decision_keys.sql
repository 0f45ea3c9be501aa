-- One row is one call or decision, with the keys by which a call and a decision belong together: both have the same one. By the
-- decision's id; by JSON-RPC id with token or trace, since that id alone is unique on one connection only; by trace, for a side that knows
-- no JSON-RPC id. A key is 128 bits of a hash of its words, as most of what a join took was to copy those; 0 is none.
CREATE VIEW IF NOT EXISTS decision_keys AS
SELECT
    tenant,
    id,
    kind,
    type,
    time,
    stored_time,
    outcome,
    source_id,
    server_id,
    tool_name,
    token_ref,
    trace_id,
    jsonrpc_id,
    decision_effect,
    tool_duration_ms,
    if(kind = 'permission_decision', decision_id, correlation_decision_id) AS named_decision_id,
    decision_engine,
    decision_policy,
    decision_policy_version,
    if(named_decision_id != '', reinterpretAsUInt128(sipHash128Reference(named_decision_id)), 0) AS decision_key,
    if(jsonrpc_id != '' AND token_ref != '', reinterpretAsUInt128(sipHash128Reference(server_id, tool_name, jsonrpc_id, token_ref)), 0) AS token_key,
    if(jsonrpc_id != '' AND trace_id != '', reinterpretAsUInt128(sipHash128Reference(server_id, tool_name, jsonrpc_id, trace_id)), 0) AS trace_key,
    if(trace_id != '', reinterpretAsUInt128(sipHash128Reference(server_id, tool_name, trace_id, token_ref)), 0) AS trace_only_key
FROM records
WHERE state = 'stored' AND (kind = 'permission_decision' OR type = 'mcp.tools.call')
