-- One row is one key of decision_keys: one way to tell that a call and a decision belong together. Made anew from those keys.
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
    trace_id,
    jsonrpc_id,
    decision_effect,
    tool_duration_ms,
    named_decision_id,
    decision_engine,
    decision_policy,
    decision_policy_version
FROM decision_keys
ARRAY JOIN arrayFilter(k -> k.2 != 0, CAST([(4, decision_key), (3, token_key), (2, trace_key), (1, trace_only_key)],
    'Array(Tuple(Enum8(\'trace only\' = 1, \'trace\' = 2, \'token\' = 3, \'decision\' = 4), UInt128))')) AS join_key
