CREATE TABLE custody.activity_days
(
    `tenant` LowCardinality(String),
    `iss` LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    `sub` String,
    `day` Date COMMENT 'of the events',
    `stored_day` Date,
    `type` LowCardinality(String) COMMENT 'of the events',
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `outcome` LowCardinality(String) COMMENT 'of a decision: its effect',
    `events` UInt64,
    `first_time` DateTime64(6, 'UTC'),
    `last_time` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(stored_day)
ORDER BY (tenant, iss, sub, day, type, server_id, tool_name, outcome, stored_day)
SETTINGS index_granularity = 1024;

CREATE VIEW custody.activity_hourly
(
    `tenant` LowCardinality(String),
    `iss` LowCardinality(String),
    `sub` String,
    `hour` DateTime('UTC'),
    `type` LowCardinality(String),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `outcome` LowCardinality(String),
    `events` UInt64,
    `first_event` SimpleAggregateFunction(min, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)),
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
AS SELECT
    tenant,
    iss,
    sub,
    hour,
    type,
    server_id,
    tool_name,
    outcome,
    sum(arraySum(mapValues(minutes))) AS events,
    min(first) AS first_event,
    max(last_time) AS last_time
FROM custody.activity_states
FINAL
GROUP BY
    tenant,
    iss,
    sub,
    hour,
    type,
    server_id,
    tool_name,
    outcome;

CREATE TABLE custody.activity_states
(
    `tenant` LowCardinality(String),
    `iss` LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    `sub` String,
    `hour` DateTime('UTC') COMMENT 'of the events',
    `stored_hour` DateTime('UTC'),
    `type` LowCardinality(String) COMMENT 'of the events',
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `outcome` LowCardinality(String) COMMENT 'of a decision: its effect',
    `minutes` SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'how many were stored in each minute of stored_hour',
    `first` SimpleAggregateFunction(min, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)),
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    INDEX stored_hours stored_hour TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(stored_hour)
ORDER BY (tenant, iss, sub, hour, stored_hour, type, server_id, tool_name, outcome)
SETTINGS index_granularity = 1024;

CREATE TABLE custody.checkpoints
(
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `base` UInt64 COMMENT 'offset of the first leaf',
    `size` UInt64 COMMENT 'leaves: it covers the offsets from base to base + size - 1',
    `root` FixedString(32) CODEC(NONE),
    `signatures` UInt32 COMMENT 'of the log and of witnesses',
    `time` DateTime64(3, 'UTC') COMMENT 'when it was signed, by the signer\'s clock',
    `note` String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(signatures)
ORDER BY (topic, epoch, partition, size)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.completed_blocks
(
    `completed_time` DateTime64(6, 'UTC') DEFAULT now64(6),
    `stored_time` DateTime64(6, 'UTC') COMMENT 'the earliest of its records'
)
ENGINE = MergeTree
ORDER BY completed_time
TTL toDateTime(completed_time) + toIntervalDay(1)
SETTINGS index_granularity = 8192;

CREATE VIEW custody.coverage
(
    `tenant` LowCardinality(String),
    `kind` LowCardinality(String),
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String),
    `issuer` LowCardinality(String),
    `hour` DateTime('UTC'),
    `first_time` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `minutes_heard` UInt8
)
AS SELECT
    tenant,
    kind,
    source_id,
    server_id,
    issuer,
    hour,
    first_time,
    last_time,
    bitCount(minutes) AS minutes_heard
FROM custody.coverage_states
FINAL;

CREATE TABLE custody.coverage_states
(
    `tenant` LowCardinality(String),
    `kind` LowCardinality(String) COMMENT 'of the events: permission_decision, token_exchange, credential, tool_invocation',
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String) COMMENT 'that they are about; empty: none is named',
    `issuer` LowCardinality(String) COMMENT 'of the token, or of the subject where the token names none; of exchanges and credentials',
    `hour` DateTime('UTC'),
    `first_time` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `minutes` SimpleAggregateFunction(groupBitOr, UInt64) COMMENT 'bit n: heard of in minute n'
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, kind, server_id, issuer, hour, source_id)
SETTINGS index_granularity = 8192;

CREATE VIEW custody.decision_coverage
(
    `tenant` LowCardinality(String),
    `server_id` LowCardinality(String),
    `hour` DateTime('UTC'),
    `heard` Array(Tuple(
        String,
        SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
        SimpleAggregateFunction(max, DateTime64(6, 'UTC'))))
)
AS SELECT
    a.tenant AS tenant,
    a.server_id AS server_id,
    a.at AS hour,
    arraySort(groupArray((a.source_id, a.first_time, h.last_time))) AS heard
FROM
(
    SELECT
        tenant,
        server_id,
        source_id,
        arrayJoin([hour - 3600, hour, hour + 3600]) AS at,
        min(first_time) AS first_time
    FROM custody.coverage_states
    WHERE kind = 'permission_decision'
    GROUP BY
        tenant,
        server_id,
        source_id,
        at
) AS a
INNER JOIN
(
    SELECT
        tenant,
        source_id,
        arrayJoin([hour - 3600, hour, hour + 3600]) AS at,
        max(last_time) AS last_time
    FROM custody.coverage_states
    WHERE kind = 'permission_decision'
    GROUP BY
        tenant,
        source_id,
        at
) AS h ON (h.tenant = a.tenant) AND (h.source_id = a.source_id) AND (h.at = a.at)
GROUP BY
    a.tenant,
    a.server_id,
    a.at;

CREATE VIEW custody.decision_joins
(
    `tenant` LowCardinality(String),
    `join_key` Tuple(
        Enum8('trace only' = 1, 'trace' = 2, 'token' = 3, 'decision' = 4),
        UInt128),
    `id` UUID,
    `kind` LowCardinality(String),
    `type` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `stored_time` DateTime64(6, 'UTC'),
    `outcome` LowCardinality(String),
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `trace_id` String,
    `jsonrpc_id` String,
    `decision_effect` LowCardinality(String),
    `tool_duration_ms` UInt64,
    `named_decision_id` String,
    `decision_engine` LowCardinality(String),
    `decision_policy` LowCardinality(String),
    `decision_policy_version` LowCardinality(String)
)
AS SELECT
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
FROM custody.decision_keys
ARRAY JOIN arrayFilter(k -> ((k.2) != 0), CAST([(4, decision_key), (3, token_key), (2, trace_key), (1, trace_only_key)], 'Array(Tuple(Enum8(\'trace only\' = 1, \'trace\' = 2, \'token\' = 3, \'decision\' = 4), UInt128))')) AS join_key;

CREATE VIEW custody.decision_keys
(
    `tenant` LowCardinality(String),
    `id` UUID,
    `kind` LowCardinality(String),
    `type` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `stored_time` DateTime64(6, 'UTC'),
    `outcome` LowCardinality(String),
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `token_ref` String,
    `trace_id` String,
    `jsonrpc_id` String,
    `decision_effect` LowCardinality(String),
    `tool_duration_ms` UInt64,
    `named_decision_id` String,
    `decision_engine` LowCardinality(String),
    `decision_policy` LowCardinality(String),
    `decision_policy_version` LowCardinality(String),
    `decision_key` UInt128,
    `token_key` UInt128,
    `trace_key` UInt128,
    `trace_only_key` UInt128
)
AS SELECT
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
    if((jsonrpc_id != '') AND (token_ref != ''), reinterpretAsUInt128(sipHash128Reference(server_id, tool_name, jsonrpc_id, token_ref)), 0) AS token_key,
    if((jsonrpc_id != '') AND (trace_id != ''), reinterpretAsUInt128(sipHash128Reference(server_id, tool_name, jsonrpc_id, trace_id)), 0) AS trace_key,
    if(trace_id != '', reinterpretAsUInt128(sipHash128Reference(server_id, tool_name, trace_id, token_ref)), 0) AS trace_only_key
FROM custody.records
WHERE (state = 'stored') AND ((kind = 'permission_decision') OR (type = 'mcp.tools.call'));

CREATE TABLE custody.event_keys
(
    `tenant` LowCardinality(String),
    `relation` Enum8('presented' = 1, 'issued' = 2, 'subject_parent' = 3, 'actor_parent' = 4, 'subject_child' = 5, 'actor_child' = 6, 'task' = 7) COMMENT 'what key is: the token presented; the token an exchange issued; the same, with other the subject or actor token it was issued for; that token, with other the one issued; a task, with other what happened to it',
    `key` String,
    `other` String,
    `time` DateTime64(6, 'UTC'),
    `event_id` UUID,
    `kind` LowCardinality(String),
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(log_time)
ORDER BY (tenant, relation, key, time)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 512;

CREATE MATERIALIZED VIEW custody.event_keys_view TO custody.event_keys
(
    `tenant` LowCardinality(String),
    `relation` String,
    `key` String,
    `other` String,
    `time` DateTime64(6, 'UTC'),
    `event_id` UUID,
    `kind` LowCardinality(String),
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC')
)
AS SELECT
    tenant,
    found.1 AS relation,
    found.2 AS key,
    found.3 AS other,
    time,
    id AS event_id,
    kind,
    source_id,
    server_id,
    epoch,
    partition,
    offset,
    log_time
FROM custody.records
ARRAY JOIN arrayFilter(k -> ((k.2) != ''), [('presented', token_ref, ''), ('issued', exchange_issued_token_ref, ''), ('subject_parent', if((kind = 'token_exchange') AND (exchange_subject_token_ref != ''), exchange_issued_token_ref, ''), exchange_subject_token_ref), ('actor_parent', if((kind = 'token_exchange') AND (exchange_actor_token_ref != ''), exchange_issued_token_ref, ''), exchange_actor_token_ref), ('subject_child', if((kind = 'token_exchange') AND (exchange_issued_token_ref != ''), exchange_subject_token_ref, ''), exchange_issued_token_ref), ('actor_child', if((kind = 'token_exchange') AND (exchange_issued_token_ref != ''), exchange_actor_token_ref, ''), exchange_issued_token_ref), ('task', if(kind = 'session', task_id, ''), toString(type))]) AS found
WHERE state = 'stored';

CREATE VIEW custody.events
(
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC'),
    `stored_time` DateTime64(6, 'UTC'),
    `leaf_hash` FixedString(32),
    `content_hash` FixedString(32),
    `raw` String,
    `id` UUID,
    `schema_version` LowCardinality(String),
    `kind` LowCardinality(String),
    `type` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `observed_time` DateTime64(6, 'UTC'),
    `tenant` LowCardinality(String),
    `source_id` LowCardinality(String),
    `source_type` LowCardinality(String),
    `source_event_id` String,
    `source_sequence` UInt64,
    `outcome` LowCardinality(String),
    `subject_iss` LowCardinality(String),
    `subject_sub` String,
    `subject_type` LowCardinality(String),
    `subject_name` String,
    `actor_iss` LowCardinality(String),
    `actor_sub` String,
    `actor_type` LowCardinality(String),
    `actor_name` String,
    `chain_iss` Array(LowCardinality(String)),
    `chain_sub` Array(String),
    `chain_type` Array(LowCardinality(String)),
    `chain_rule` LowCardinality(String),
    `chain_truncated` Bool,
    `chain_malformed` String,
    `client_id` String,
    `client_name` LowCardinality(String),
    `client_version` LowCardinality(String),
    `client_verified` Bool,
    `server_id` LowCardinality(String),
    `server_name` LowCardinality(String),
    `server_uri` LowCardinality(String),
    `server_version` LowCardinality(String),
    `upstream` LowCardinality(String),
    `client_address` String,
    `user_agent` LowCardinality(String),
    `token_ref` String,
    `token_jti` String,
    `token_iss` LowCardinality(String),
    `token_audience` Array(LowCardinality(String)),
    `token_scope` Array(LowCardinality(String)),
    `token_issued_at` DateTime64(6, 'UTC'),
    `token_not_before` DateTime64(6, 'UTC'),
    `token_expires_at` DateTime64(6, 'UTC'),
    `token_type` LowCardinality(String),
    `token_confirmation` String,
    `token_static` Bool,
    `token_verified` LowCardinality(String),
    `exchange_grant_type` LowCardinality(String),
    `exchange_subject_token_ref` String,
    `exchange_actor_token_ref` String,
    `exchange_issued_token_ref` String,
    `exchange_requested_token_type` LowCardinality(String),
    `exchange_issued_token_type` LowCardinality(String),
    `exchange_requested_scope` Array(LowCardinality(String)),
    `exchange_subject_scope` Array(LowCardinality(String)),
    `exchange_granted_scope` Array(LowCardinality(String)),
    `exchange_requested_audience` Array(LowCardinality(String)),
    `exchange_resource` Array(LowCardinality(String)),
    `exchange_expires_in` UInt64,
    `exchange_cached` Bool,
    `exchange_step_up` Bool,
    `tool_name` LowCardinality(String),
    `tool_call_id` String,
    `tool_server_method` LowCardinality(String),
    `tool_arguments_hash` String,
    `tool_argument_names` Array(LowCardinality(String)),
    `tool_result_status` LowCardinality(String),
    `tool_error_code` LowCardinality(String),
    `tool_duration_ms` UInt64,
    `tool_request_bytes` UInt64,
    `tool_response_bytes` UInt64,
    `decision_id` String,
    `decision_effect` LowCardinality(String),
    `decision_engine` LowCardinality(String),
    `decision_policy` LowCardinality(String),
    `decision_policy_version` LowCardinality(String),
    `decision_rule` LowCardinality(String),
    `decision_reason` String,
    `decision_action` LowCardinality(String),
    `decision_resource` String,
    `decision_inferred` Bool,
    `trace_id` String,
    `span_id` String,
    `parent_span_id` String,
    `request_id` String,
    `jsonrpc_id` String,
    `session_id` String,
    `task_id` String,
    `transaction_id` String,
    `correlation_decision_id` String,
    `attributes` Map(LowCardinality(String), String),
    `warnings` Array(LowCardinality(String)),
    `registry_version` LowCardinality(String),
    `subject_owner` LowCardinality(String),
    `subject_team` LowCardinality(String),
    `subject_lifecycle` LowCardinality(String),
    `actor_owner` LowCardinality(String),
    `actor_team` LowCardinality(String),
    `actor_lifecycle` LowCardinality(String),
    `server_owner` LowCardinality(String),
    `server_team` LowCardinality(String),
    `server_sensitivity` LowCardinality(String),
    `server_lifecycle` LowCardinality(String),
    `tool_registered` Bool,
    `tool_owner` LowCardinality(String),
    `tool_sensitivity` LowCardinality(String),
    `tool_scopes` Array(LowCardinality(String)),
    `tool_destructive` Bool,
    `token_lifetime_seconds` Int64,
    `token_remaining_seconds` Int64,
    `exchange_outlives_seconds` Int64,
    `exchange_scope_added` Array(LowCardinality(String)),
    `exchange_scope_dropped` Array(LowCardinality(String)),
    `token_audience_check` LowCardinality(String),
    `token_scope_check` LowCardinality(String),
    `token_scope_excess` Array(LowCardinality(String)),
    `token_scope_missing` Array(LowCardinality(String))
)
AS SELECT * EXCEPT (state, problem)
FROM custody.records
WHERE state = 'stored';

CREATE TABLE custody.finding_dead_letters
(
    `tenant` LowCardinality(String),
    `time` DateTime64(6, 'UTC') COMMENT 'when it was given up',
    `sink` LowCardinality(String),
    `key` FixedString(64) COMMENT 'of the finding',
    `id` UUID COMMENT 'of the message',
    `attempts` UInt32,
    `error` String COMMENT 'of the last attempt',
    `payload` String COMMENT 'what was to be delivered'
)
ENGINE = MergeTree
ORDER BY (tenant, time, sink, key)
TTL toDateTime(time) + toIntervalDay(90)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.finding_deliveries
(
    `sink` LowCardinality(String),
    `tenant` LowCardinality(String),
    `key` FixedString(64),
    `revision` String COMMENT 'of the finding as it was given, or given up; empty: it is to be given again',
    `updated_time` DateTime64(6, 'UTC') COMMENT 'of the finding then; empty revision: when somebody wanted it',
    `delivered_time` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(delivered_time)
ORDER BY (sink, tenant, key)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.finding_history
(
    `tenant` LowCardinality(String),
    `key` FixedString(64) COMMENT 'of the finding',
    `time` DateTime64(6, 'UTC'),
    `id` UUID,
    `action` Enum8('opened' = 1, 'auto_resolved' = 2, 'reappeared' = 3, 'acknowledged' = 4, 'assigned' = 5, 'commented' = 6, 'resolved' = 7, 'excepted' = 8, 'reopened' = 9) COMMENT 'reappeared: open again after auto_resolved; reopened: somebody wants it looked at again',
    `actor_iss` LowCardinality(String),
    `actor_sub` String COMMENT 'who did it; empty: the detections',
    `assignee` String COMMENT 'of assigned; empty: nobody any more',
    `until` DateTime64(6, 'UTC') COMMENT 'of excepted: when the exception ends',
    `comment` String COMMENT 'why, in the words of the actor or of the rule',
    `last_seen` DateTime64(6, 'UTC') COMMENT 'of the finding as the actor saw it',
    `evidence` Array(UUID) COMMENT 'of the finding as the actor saw it: what comes on top opens a resolved one again',
    `event_id` UUID COMMENT 'of the event of type custody.change that is the evidence of it; zero for the detections'
)
ENGINE = MergeTree
ORDER BY (tenant, key, time, id)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.finding_states
(
    `tenant` LowCardinality(String),
    `key` FixedString(64) COMMENT 'hex SHA-256 of tenant, rule and subject_key: the same finding has the same key whoever finds it',
    `rule` LowCardinality(String),
    `rule_version` UInt32 COMMENT 'version that judged last; not part of the key',
    `subject_key` Array(String) COMMENT 'what the finding is about, in the words of its rule',
    `severity` Enum8('info' = 1, 'low' = 2, 'medium' = 3, 'high' = 4, 'critical' = 5),
    `status` Enum8('open' = 1, 'auto_resolved' = 2) COMMENT 'auto_resolved: what came later shows that it is not so, or not so any more',
    `title` String,
    `summary` String COMMENT 'one sentence with the facts',
    `subject_sub` String,
    `actor_sub` String,
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `token_ref` String,
    `task_id` String,
    `trace_id` String,
    `evidence` Array(UUID) COMMENT 'ids of the events it rests on, oldest first; at most 100: the first and the last 50',
    `first_seen` DateTime64(6, 'UTC') COMMENT 'time of the oldest event of the evidence',
    `last_seen` DateTime64(6, 'UTC') COMMENT 'time of the newest event of the evidence',
    `coverage` Enum8('recorded' = 1, 'absence' = 2) COMMENT 'recorded: it rests on what is there; absence: also on what is not there, within coverage_note',
    `coverage_note` String COMMENT 'how far the conclusion goes',
    `coverage_sources` Array(LowCardinality(String)) COMMENT 'sources it relies on',
    `opened_time` DateTime64(6, 'UTC') COMMENT 'when the finding was first made',
    `changed_time` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_time)
ORDER BY (tenant, key)
SETTINGS index_granularity = 8192;

CREATE VIEW custody.findings
(
    `tenant` LowCardinality(String),
    `key` FixedString(64),
    `rule` LowCardinality(String),
    `rule_version` UInt32,
    `subject_key` Array(String),
    `severity` Enum8('info' = 1, 'low' = 2, 'medium' = 3, 'high' = 4, 'critical' = 5),
    `status` Enum8('open' = 1, 'auto_resolved' = 2),
    `title` String,
    `summary` String,
    `subject_sub` String,
    `actor_sub` String,
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `token_ref` String,
    `task_id` String,
    `trace_id` String,
    `evidence` Array(UUID),
    `first_seen` DateTime64(6, 'UTC'),
    `last_seen` DateTime64(6, 'UTC'),
    `coverage` Enum8('recorded' = 1, 'absence' = 2),
    `coverage_note` String,
    `coverage_sources` Array(LowCardinality(String)),
    `opened_time` DateTime64(6, 'UTC'),
    `changed_time` DateTime64(6, 'UTC')
)
AS SELECT *
FROM custody.finding_states
FINAL;

CREATE VIEW custody.first_seen
(
    `tenant` LowCardinality(String),
    `what` Enum8('tool' = 1, 'server' = 2, 'client' = 3, 'path' = 4, 'issuer' = 5, 'audience' = 6),
    `iss` LowCardinality(String),
    `sub` String,
    `object` Array(String),
    `first_time` DateTime64(6, 'UTC'),
    `first_event_id` UUID,
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
AS SELECT
    tenant,
    what,
    iss,
    sub,
    object,
    first.1 AS first_time,
    first.2 AS first_event_id,
    last_time
FROM custody.first_seen_states
FINAL;

CREATE TABLE custody.first_seen_states
(
    `tenant` LowCardinality(String),
    `what` Enum8('tool' = 1, 'server' = 2, 'client' = 3, 'path' = 4, 'issuer' = 5, 'audience' = 6),
    `iss` LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    `sub` String,
    `object` Array(String) COMMENT 'tool: server id and name; server: id; client: id and name; path: from the subject to the actor, each as SUB@ISS; issuer: of the token presented',
    `first` SimpleAggregateFunction(min, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)),
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, iss, sub, what, object)
SETTINGS index_granularity = 8192;

CREATE VIEW custody.issuer_coverage
(
    `tenant` LowCardinality(String),
    `issuer` LowCardinality(String),
    `hour` DateTime('UTC'),
    `heard` Array(Tuple(
        String,
        SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
        SimpleAggregateFunction(max, DateTime64(6, 'UTC'))))
)
AS SELECT
    tenant,
    issuer,
    at AS hour,
    arraySort(groupArray((source_id, first_time, last_time))) AS heard
FROM
(
    SELECT
        tenant,
        issuer,
        source_id,
        arrayJoin([hour - 3600, hour, hour + 3600]) AS at,
        min(first_time) AS first_time,
        max(last_time) AS last_time
    FROM custody.coverage_states
    WHERE kind IN ('token_exchange', 'credential')
    GROUP BY
        tenant,
        issuer,
        source_id,
        at
)
GROUP BY
    tenant,
    issuer,
    at;

CREATE VIEW custody.judged_privileges
AS WITH
    toDateTime64(0, 6, 'UTC') AS none,
    {since:DateTime64(6, 'UTC')} AS since,
    {judged:DateTime64(6, 'UTC')} AS judged
SELECT
    p.*,
    c.calls_first AS calls_first,
    multiIf((p.removed > none) AND (p.removed >= p.granted_last), 'removed', p.granted_last = none, 'no_grant_seen', p.used_last >= since, 'used', p.granted_last < since, 'lapsed', p.maybe_last >= since, 'maybe_used', p.granted_first > judged, 'young', (c.calls_last < since) OR (c.calls_first > judged), 'not_covered', p.used_last > none, 'not_used_lately', 'never_used') AS state,
    state IN ('never_used', 'not_used_lately') AS unused,
    multiIf(p.static_last >= since, 'static', empty(p.tokens_by_lifetime), 'unknown', arrayMax(mapKeys(p.tokens_by_lifetime)) > 86400, 'long_lived', 'short_lived') AS credential,
    if(empty(p.tokens_by_lifetime), 0, arrayMax(mapKeys(p.tokens_by_lifetime))) AS max_lifetime,
    if(unused OR ((state IN ('lapsed', 'removed')) AND (p.used_last = none) AND (p.maybe_last = none)), arraySum(arrayMap((l, n) -> (l * n), mapKeys(p.tokens_by_lifetime), mapValues(p.tokens_by_lifetime))), 0) AS risk_seconds
FROM custody.privileges AS p
LEFT JOIN
(
    SELECT
        tenant,
        server_id,
        min(first_time) AS calls_first,
        max(last_time) AS calls_last
    FROM custody.coverage_states
    WHERE kind = 'tool_invocation'
    GROUP BY
        tenant,
        server_id
) AS c ON (c.tenant = p.tenant) AND (c.server_id = p.server_id);

CREATE TABLE custody.key_rotations
(
    `log` String,
    `old_key` String COMMENT 'verifier key as in c2sp.org/signed-note',
    `new_key` String,
    `time` DateTime64(3, 'UTC'),
    `note` String
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (log, old_key, new_key)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.log_gaps
(
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String) COMMENT 'that ended',
    `partition` UInt32,
    `base` UInt64,
    `size` UInt64 COMMENT 'leaves of its tree at the end',
    `root` FixedString(32),
    `next_epoch` LowCardinality(String),
    `next_base` UInt64,
    `lost_from` UInt64 COMMENT 'offsets that were never read; to is exclusive, and the same when none or unknown',
    `lost_to` UInt64,
    `reason` LowCardinality(String),
    `time` DateTime64(3, 'UTC'),
    `note` String COMMENT 'the signed record'
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (topic, epoch, partition)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.migrations
(
    `id` UInt32,
    `name` String,
    `sha256` FixedString(64) COMMENT 'hex SHA-256 of the file',
    `applied_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY id
SETTINGS index_granularity = 8192;

CREATE TABLE custody.pass_progress
(
    `pass` LowCardinality(String),
    `watermark` DateTime64(6, 'UTC') COMMENT 'everything stored before was taken in',
    `changed_time` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_time)
ORDER BY pass
SETTINGS index_granularity = 8192;

CREATE TABLE custody.privilege_states
(
    `tenant` LowCardinality(String),
    `iss` LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    `sub` String,
    `server` LowCardinality(String) COMMENT 'id, or the audience that a token was issued for; empty: not said',
    `kind` Enum8('scope' = 1, 'tool' = 2),
    `name` String COMMENT 'of the scope or tool',
    `holder` SimpleAggregateFunction(max, Tuple(
        time DateTime64(6, 'UTC'),
        type String,
        owner String)),
    `how` SimpleAggregateFunction(groupBitOr, UInt8) COMMENT '1 token presented, 2 exchange, 4 decision, 8 grant reported, 16 tool offered, 32 credential; 0: use only',
    `granted_first` SimpleAggregateFunction(min, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)) COMMENT 'of the year 2299: no grant was seen',
    `granted_last` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `granted_days` AggregateFunction(groupBitmap, UInt32) COMMENT 'days since 1970 on which it was granted or shown',
    `removed_last` SimpleAggregateFunction(max, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)),
    `used_first` SimpleAggregateFunction(min, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)) COMMENT 'of the year 2299: never',
    `used_last` SimpleAggregateFunction(max, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)),
    `used_days` AggregateFunction(groupBitmap, UInt32) COMMENT 'days since 1970 with a use',
    `uses` AggregateFunction(uniqCombined64(12), UUID) COMMENT 'events; some 2 % off above a few thousand',
    `maybe_last` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'last call with it of a tool whose needs nobody registered',
    `static_last` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'last time that a static credential had it',
    `tokens` AggregateFunction(uniqCombined64(12), String) COMMENT 'references of tokens that had it',
    `lifetimes` AggregateFunction(uniqCombined64Map(12), Map(UInt32, String)) COMMENT 'the same by lifetime in seconds, to two digits and upwards',
    `taken_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when a pass wrote of it last: whoever judges what is new looks at those rows'
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, iss, sub, server, kind, name)
SETTINGS index_granularity = 512;

CREATE VIEW custody.privileges
(
    `tenant` LowCardinality(String),
    `iss` LowCardinality(String),
    `sub` String,
    `type` String,
    `owner` String,
    `server_id` String,
    `kind` String,
    `name` String,
    `how` Array(String),
    `granted_first` DateTime64(6, 'UTC'),
    `granted_event` UUID,
    `granted_last` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `granted_days` UInt32,
    `granted_times` UInt64,
    `removed` DateTime64(6, 'UTC'),
    `used_first` DateTime64(6, 'UTC'),
    `used_last` DateTime64(6, 'UTC'),
    `used_event` UUID,
    `used_days` UInt32,
    `uses` UInt64,
    `maybe_last` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `static_last` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `tokens` UInt64,
    `tokens_by_lifetime` Map(UInt32, UInt64)
)
AS SELECT
    tenant,
    iss,
    sub,
    (max(p.holder)).2 AS type,
    (max(p.holder)).3 AS owner,
    if(a.named != '', toString(a.named), toString(p.server)) AS server_id,
    toString(kind) AS kind,
    name,
    arrayFilter(w -> (w != ''), arrayMap((w, n) -> if(bitTest(groupBitOr(p.how), n), w, ''), ['token', 'exchange', 'decision', 'grant', 'offered', 'credential'], range(6))) AS how,
    if(((min(p.granted_first)).1) >= toDateTime64('2299-01-01 00:00:00', 6, 'UTC'), toDateTime64(0, 6, 'UTC'), (min(p.granted_first)).1) AS granted_first,
    (min(p.granted_first)).2 AS granted_event,
    max(p.granted_last) AS granted_last,
    groupBitmapMerge(p.granted_days) AS granted_days,
    notEmpty(bitmapToArray(groupBitmapMergeState(p.granted_days)) AS days) + arrayCount(gap -> (gap > 7), arrayDifference(arraySort(days))) AS granted_times,
    (max(p.removed_last)).1 AS removed,
    if(((min(p.used_first)).1) >= toDateTime64('2299-01-01 00:00:00', 6, 'UTC'), toDateTime64(0, 6, 'UTC'), (min(p.used_first)).1) AS used_first,
    (max(p.used_last)).1 AS used_last,
    (max(p.used_last)).2 AS used_event,
    groupBitmapMerge(p.used_days) AS used_days,
    uniqCombined64Merge(12)(p.uses) AS uses,
    max(p.maybe_last) AS maybe_last,
    max(p.static_last) AS static_last,
    uniqCombined64Merge(12)(p.tokens) AS tokens,
    uniqCombined64MapMerge(12)(p.lifetimes) AS tokens_by_lifetime
FROM custody.privilege_states AS p
LEFT JOIN
(
    SELECT
        tenant,
        address,
        any(id) AS named
    FROM
    (
        SELECT
            tenant,
            address,
            server_id AS id
        FROM custody.server_addresses
        UNION DISTINCT
        SELECT
            tenant,
            arrayJoin(arrayConcat(uris, audiences)) AS address,
            id
        FROM custody.registry_servers
        WHERE (tenant, version) IN (
            SELECT
                tenant,
                argMax(version, since)
            FROM custody.registry_versions
            GROUP BY tenant
        )
    )
    GROUP BY
        tenant,
        address
    HAVING uniqExact(id) = 1
) AS a ON (a.tenant = p.tenant) AND (a.address = p.server)
GROUP BY
    tenant,
    iss,
    sub,
    server_id,
    kind,
    name;

CREATE VIEW custody.quarantine
(
    `tenant` LowCardinality(String),
    `id` UUID,
    `time` DateTime64(6, 'UTC'),
    `stored_time` DateTime64(6, 'UTC'),
    `source_id` LowCardinality(String),
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `content_hash` String,
    `leaf_hash` String,
    `raw` String,
    `first_stored_time` DateTime64(6, 'UTC'),
    `first_source_id` LowCardinality(String),
    `first_epoch` LowCardinality(String),
    `first_partition` UInt32,
    `first_offset` UInt64,
    `first_content_hash` String,
    `first_leaf_hash` String,
    `first_raw` String
)
AS SELECT
    c.tenant AS tenant,
    c.id AS id,
    c.time AS time,
    c.stored_time AS stored_time,
    c.source_id AS source_id,
    c.topic AS topic,
    c.epoch AS epoch,
    c.partition AS partition,
    c.offset AS offset,
    c.content_hash AS content_hash,
    c.leaf_hash AS leaf_hash,
    c.raw AS raw,
    f.stored_time AS first_stored_time,
    f.source_id AS first_source_id,
    f.epoch AS first_epoch,
    f.partition AS first_partition,
    f.offset AS first_offset,
    f.hash AS first_content_hash,
    f.leaf AS first_leaf_hash,
    f.raw AS first_raw
FROM
(
    SELECT
        tenant,
        id,
        time,
        stored_time,
        source_id,
        topic,
        epoch,
        partition,
        offset,
        lower(hex(content_hash)) AS content_hash,
        lower(hex(leaf_hash)) AS leaf_hash,
        raw
    FROM custody.records
    WHERE state = 'conflict'
) AS c
LEFT JOIN
(
    SELECT
        tenant,
        id,
        stored_time,
        source_id,
        epoch,
        partition,
        offset,
        lower(hex(content_hash)) AS hash,
        lower(hex(leaf_hash)) AS leaf,
        raw
    FROM custody.records
    WHERE (state = 'stored') AND ((tenant, toStartOfHour(time)) IN (
        SELECT
            tenant,
            toStartOfHour(time)
        FROM custody.records
        WHERE state = 'conflict'
    )) AND (id IN (
        SELECT id
        FROM custody.records
        WHERE state = 'conflict'
    ))
    ORDER BY
        stored_time ASC,
        epoch ASC,
        partition ASC,
        offset ASC
    LIMIT 1 BY
        tenant,
        id
) AS f ON (f.tenant = c.tenant) AND (f.id = c.id);

CREATE TABLE custody.reach_days
(
    `tenant` LowCardinality(String),
    `sub` String COMMENT 'who is named',
    `iss` Array(LowCardinality(String)) COMMENT 'by which issuers\' claims, sorted',
    `day` Date COMMENT 'of the events',
    `stored_day` Date,
    `kind` LowCardinality(String),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `upstream` LowCardinality(String),
    `holder_iss` LowCardinality(String) COMMENT 'with holder_sub: who acted; the subject where there is no actor',
    `holder_sub` String,
    `events` UInt64,
    `ran` UInt64 COMMENT 'of those: with outcome success or failure',
    `denied` UInt64 COMMENT 'of those: denied',
    `first_time` DateTime64(6, 'UTC'),
    `last_time` DateTime64(6, 'UTC'),
    `server_sensitivity` Tuple(
        time DateTime64(6, 'UTC'),
        value String) COMMENT 'as the registry had it last; empty: it did not say',
    `tool_sensitivity` Tuple(
        time DateTime64(6, 'UTC'),
        value String),
    `server_owner` Tuple(
        time DateTime64(6, 'UTC'),
        value String),
    `tool_owner` Tuple(
        time DateTime64(6, 'UTC'),
        value String),
    `tool_destructive` Bool,
    `lasting` Array(String) COMMENT 'references of tokens that were used or issued and that outlast their event by more than a day, or whose end nobody said'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(stored_day)
ORDER BY (tenant, sub, day, kind, server_id, tool_name, upstream, holder_iss, holder_sub, iss, stored_day)
SETTINGS index_granularity = 1024;

CREATE TABLE custody.reach_states
(
    `tenant` LowCardinality(String),
    `sub` String COMMENT 'who is named',
    `iss` Array(LowCardinality(String)) COMMENT 'by which issuers\' claims, sorted',
    `hour` DateTime('UTC') COMMENT 'of the events',
    `stored_hour` DateTime('UTC'),
    `kind` LowCardinality(String),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `upstream` LowCardinality(String),
    `holder_iss` LowCardinality(String) COMMENT 'with holder_sub: who acted; the subject where there is no actor',
    `holder_sub` String,
    `minutes` SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'how many were stored in each minute of stored_hour',
    `ran` SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'of those: with outcome success or failure',
    `denied` SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'of those: denied',
    `first_time` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `server_sensitivity` SimpleAggregateFunction(max, Tuple(
        time DateTime64(6, 'UTC'),
        value String)) COMMENT 'as the registry had it last; empty: it did not say',
    `tool_sensitivity` SimpleAggregateFunction(max, Tuple(
        time DateTime64(6, 'UTC'),
        value String)),
    `server_owner` SimpleAggregateFunction(max, Tuple(
        time DateTime64(6, 'UTC'),
        value String)),
    `tool_owner` SimpleAggregateFunction(max, Tuple(
        time DateTime64(6, 'UTC'),
        value String)),
    `tool_destructive` SimpleAggregateFunction(max, Bool),
    `lasting` SimpleAggregateFunction(groupUniqArrayArray, Array(String)) COMMENT 'references of tokens that were used or issued and that outlast their event by more than a day, or whose end nobody said',
    INDEX stored_hours stored_hour TYPE minmax GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(stored_hour)
ORDER BY (tenant, sub, hour, kind, server_id, tool_name, upstream, holder_iss, holder_sub, iss, stored_hour)
SETTINGS index_granularity = 1024;

CREATE TABLE custody.reconciliations
(
    `began` DateTime64(6, 'UTC'),
    `ended` DateTime64(6, 'UTC'),
    `full` Bool COMMENT 'every record was read again; else what was new',
    `trees` UInt32,
    `records` UInt64,
    `discrepancies` UInt64 COMMENT 'places, of all tenants; seal_discrepancies has what they are'
)
ENGINE = MergeTree
ORDER BY (ended, began)
TTL toDateTime(ended) + toIntervalYear(1)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.records
(
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String) COMMENT 'incarnation of the partition\'s log: offsets are unique within it',
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC') COMMENT 'when the collector handed the record to the broker',
    `stored_time` DateTime64(6, 'UTC') DEFAULT now64(6),
    `state` Enum8('stored' = 1, 'duplicate' = 2, 'conflict' = 3, 'malformed' = 4),
    `problem` String COMMENT 'why it is malformed or in conflict',
    `leaf_hash` FixedString(32) COMMENT 'RFC 6962 leaf hash of raw',
    `content_hash` FixedString(32) COMMENT 'SHA-256 of what the source said',
    `raw` String COMMENT 'the exact bytes that Kafka holds' CODEC(ZSTD(1)),
    `id` UUID,
    `schema_version` LowCardinality(String),
    `kind` LowCardinality(String),
    `type` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `observed_time` DateTime64(6, 'UTC'),
    `tenant` LowCardinality(String),
    `source_id` LowCardinality(String),
    `source_type` LowCardinality(String),
    `source_event_id` String,
    `source_sequence` UInt64,
    `outcome` LowCardinality(String),
    `subject_iss` LowCardinality(String),
    `subject_sub` String,
    `subject_type` LowCardinality(String),
    `subject_name` String,
    `actor_iss` LowCardinality(String),
    `actor_sub` String,
    `actor_type` LowCardinality(String),
    `actor_name` String,
    `chain_iss` Array(LowCardinality(String)),
    `chain_sub` Array(String),
    `chain_type` Array(LowCardinality(String)),
    `chain_rule` LowCardinality(String),
    `chain_truncated` Bool,
    `chain_malformed` String,
    `client_id` String,
    `client_name` LowCardinality(String),
    `client_version` LowCardinality(String),
    `client_verified` Bool,
    `server_id` LowCardinality(String),
    `server_name` LowCardinality(String),
    `server_uri` LowCardinality(String),
    `server_version` LowCardinality(String),
    `upstream` LowCardinality(String),
    `client_address` String,
    `user_agent` LowCardinality(String),
    `token_ref` String,
    `token_jti` String,
    `token_iss` LowCardinality(String),
    `token_audience` Array(LowCardinality(String)),
    `token_scope` Array(LowCardinality(String)),
    `token_issued_at` DateTime64(6, 'UTC') COMMENT '1970-01-01 is absent',
    `token_not_before` DateTime64(6, 'UTC') COMMENT '1970-01-01 is absent',
    `token_expires_at` DateTime64(6, 'UTC') COMMENT '1970-01-01 is absent',
    `token_type` LowCardinality(String),
    `token_confirmation` String,
    `token_static` Bool,
    `token_verified` LowCardinality(String),
    `exchange_grant_type` LowCardinality(String),
    `exchange_subject_token_ref` String,
    `exchange_actor_token_ref` String,
    `exchange_issued_token_ref` String,
    `exchange_requested_token_type` LowCardinality(String),
    `exchange_issued_token_type` LowCardinality(String),
    `exchange_requested_scope` Array(LowCardinality(String)),
    `exchange_subject_scope` Array(LowCardinality(String)),
    `exchange_granted_scope` Array(LowCardinality(String)),
    `exchange_requested_audience` Array(LowCardinality(String)),
    `exchange_resource` Array(LowCardinality(String)),
    `exchange_expires_in` UInt64 COMMENT 'seconds',
    `exchange_cached` Bool,
    `exchange_step_up` Bool,
    `tool_name` LowCardinality(String),
    `tool_call_id` String,
    `tool_server_method` LowCardinality(String),
    `tool_arguments_hash` String,
    `tool_argument_names` Array(LowCardinality(String)),
    `tool_result_status` LowCardinality(String),
    `tool_error_code` LowCardinality(String),
    `tool_duration_ms` UInt64,
    `tool_request_bytes` UInt64,
    `tool_response_bytes` UInt64,
    `decision_id` String,
    `decision_effect` LowCardinality(String),
    `decision_engine` LowCardinality(String),
    `decision_policy` LowCardinality(String),
    `decision_policy_version` LowCardinality(String),
    `decision_rule` LowCardinality(String),
    `decision_reason` String,
    `decision_action` LowCardinality(String),
    `decision_resource` String,
    `decision_inferred` Bool,
    `trace_id` String,
    `span_id` String,
    `parent_span_id` String,
    `request_id` String,
    `jsonrpc_id` String,
    `session_id` String,
    `task_id` String,
    `transaction_id` String,
    `correlation_decision_id` String COMMENT 'the decision that let this happen, as the caller recorded it',
    `attributes` Map(LowCardinality(String), String),
    `warnings` Array(LowCardinality(String)),
    `registry_version` LowCardinality(String) COMMENT 'of the tenant\'s registry that owners, teams, lifecycles, sensitivities and tool_* are from; empty: it has none',
    `subject_owner` LowCardinality(String),
    `subject_team` LowCardinality(String),
    `subject_lifecycle` LowCardinality(String) COMMENT 'at the event\'s time: planned, active, suspended, retired; empty: not registered',
    `actor_owner` LowCardinality(String),
    `actor_team` LowCardinality(String),
    `actor_lifecycle` LowCardinality(String) COMMENT 'as subject_lifecycle',
    `server_owner` LowCardinality(String),
    `server_team` LowCardinality(String),
    `server_sensitivity` LowCardinality(String) COMMENT 'public, internal, confidential, restricted; empty: not stated',
    `server_lifecycle` LowCardinality(String) COMMENT 'as subject_lifecycle',
    `tool_registered` Bool,
    `tool_owner` LowCardinality(String) COMMENT 'the server\'s when the tool has none of its own',
    `tool_sensitivity` LowCardinality(String) COMMENT 'the server\'s when the tool has none of its own',
    `tool_scopes` Array(LowCardinality(String)) COMMENT 'that the tool needs; empty: not stated',
    `tool_destructive` Bool,
    `token_lifetime_seconds` Int64 COMMENT 'of the token presented, from issue to expiry; 0: not known',
    `token_remaining_seconds` Int64 COMMENT 'from the event to the expiry of the token presented, negative when it had expired; where token_expires_at is known',
    `exchange_outlives_seconds` Int64 COMMENT 'by how much the token issued outlives the subject token; 0 also when not known',
    `exchange_scope_added` Array(LowCardinality(String)) COMMENT 'granted, and not in the subject token',
    `exchange_scope_dropped` Array(LowCardinality(String)) COMMENT 'in the subject token, and not granted',
    `token_audience_check` LowCardinality(String) COMMENT 'calls and decisions: match, mismatch, unknown (what the server accepts), absent (the token\'s audience)',
    `token_scope_check` LowCardinality(String) COMMENT 'calls and decisions on a tool: exact, excess, insufficient, unknown',
    `token_scope_excess` Array(LowCardinality(String)) COMMENT 'in the token, and not needed by the tool',
    `token_scope_missing` Array(LowCardinality(String)) COMMENT 'needed by the tool, and not in the token',
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_task task_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_offset offset TYPE minmax GRANULARITY 1,
    INDEX by_time time TYPE minmax GRANULARITY 1,
    INDEX by_stored_time stored_time TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, toStartOfHour(time), trace_id, time, offset)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 2048, min_bytes_for_wide_part = 134217728;

CREATE TABLE custody.registry_principals
(
    `tenant` LowCardinality(String),
    `version` LowCardinality(String),
    `iss` LowCardinality(String),
    `sub` String COMMENT 'ends in * for all that begin so',
    `type` LowCardinality(String),
    `name` String,
    `owner` LowCardinality(String),
    `team` LowCardinality(String),
    `lifecycle_state` Array(LowCardinality(String)),
    `lifecycle_since` Array(DateTime64(6, 'UTC')) COMMENT 'from when the state of the same place holds, in order'
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, version, iss, sub)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.registry_servers
(
    `tenant` LowCardinality(String),
    `version` LowCardinality(String),
    `id` LowCardinality(String),
    `name` String,
    `uris` Array(String),
    `audiences` Array(String) COMMENT 'that it accepts beside id and uris',
    `owner` LowCardinality(String),
    `team` LowCardinality(String),
    `sensitivity` LowCardinality(String) COMMENT 'public, internal, confidential, restricted; empty: not stated',
    `lifecycle_state` Array(LowCardinality(String)),
    `lifecycle_since` Array(DateTime64(6, 'UTC')) COMMENT 'from when the state of the same place holds, in order'
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, version, id)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.registry_tools
(
    `tenant` LowCardinality(String),
    `version` LowCardinality(String),
    `server_id` LowCardinality(String),
    `name` String COMMENT 'ends in * for all that begin so',
    `owner` LowCardinality(String) COMMENT 'empty: the server\'s',
    `sensitivity` LowCardinality(String) COMMENT 'empty: the server\'s',
    `scopes` Array(LowCardinality(String)) COMMENT 'that a call needs; empty: not stated',
    `destructive` Bool
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, version, server_id, name)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.registry_versions
(
    `tenant` LowCardinality(String),
    `since` DateTime64(6, 'UTC'),
    `version` String COMMENT 'digest of the contents; empty: the tenant has no registry any more',
    `origin` LowCardinality(String) COMMENT 'file: a processor read it; import: somebody stored it',
    `principals` UInt32,
    `servers` UInt32,
    `tools` UInt32
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, since, version)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.retained_leaves
(
    `tenant` LowCardinality(String),
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64 CODEC(Delta(8), ZSTD(1)),
    `leaf_hash` FixedString(32) CODEC(NONE),
    `id` UUID COMMENT 'of the event that it was; zero: none',
    `record` UUID COMMENT 'the row of retention_records'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, epoch, partition, offset, record)
SETTINGS index_granularity = 2048;

CREATE TABLE custody.retention_acts
(
    `tenant` LowCardinality(String),
    `time` DateTime64(6, 'UTC'),
    `id` UUID,
    `action` Enum8('set' = 1, 'held' = 2, 'released' = 3, 'erased' = 4) COMMENT 'set: how long records are kept; held: they are not deleted, whatever is set; erased: those that name a person are deleted',
    `kind` LowCardinality(String) COMMENT 'of set: the kind of records; empty: those of kinds without a rule of their own',
    `days` UInt32 COMMENT 'of set: 0 is for ever',
    `hold` UUID COMMENT 'of released: the id of the act that held',
    `subject` String COMMENT 'of held: whom the records name as subject, actor or in the chain; empty: anybody',
    `server` String COMMENT 'of held: where; empty: anywhere',
    `from_time` DateTime64(6, 'UTC') COMMENT 'of held: no earlier; 1970-01-01: no bound',
    `to_time` DateTime64(6, 'UTC') COMMENT 'of held: earlier; 1970-01-01: no bound',
    `person` String COMMENT 'of erased: SALT:HASH in hexadecimal digits, SHA-256 over the salt\'s digits and the subject',
    `actor_iss` LowCardinality(String),
    `actor_sub` String,
    `reason` String,
    `event_id` UUID COMMENT 'of the event of type custody.change that is the evidence of it'
)
ENGINE = MergeTree
ORDER BY (tenant, time, id)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.retention_records
(
    `tenant` LowCardinality(String),
    `id` UUID,
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `base` UInt64 COMMENT 'offset of the tree\'s first leaf',
    `first_offset` UInt64,
    `last_offset` UInt64,
    `count` UInt64 COMMENT 'records of the tenant between them that were deleted',
    `kind` LowCardinality(String) COMMENT 'of the rule; empty: that of kinds without one of their own',
    `days` UInt32 COMMENT 'of the rule',
    `before` DateTime64(3, 'UTC') COMMENT 'they came to the log earlier',
    `digest` FixedString(32) COMMENT 'SHA-256 over their offsets and leaf hashes',
    `time` DateTime64(6, 'UTC'),
    `event_id` UUID COMMENT 'of the event of type custody.expired that says the same',
    `note` String COMMENT 'what the log\'s key signed' CODEC(ZSTD(1)),
    `deleted_time` DateTime64(6, 'UTC') COMMENT 'when nothing of them was left; 1970-01-01: some are still there'
)
ENGINE = ReplacingMergeTree(deleted_time)
ORDER BY (tenant, topic, epoch, partition, first_offset, id)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.review_acts
(
    `tenant` LowCardinality(String),
    `review` UUID,
    `line` String COMMENT 'key of the line; empty: closed',
    `time` DateTime64(6, 'UTC'),
    `id` UUID,
    `action` Enum8('certified' = 1, 'revoked' = 2, 'excepted' = 3, 'closed' = 4) COMMENT 'revoked: somebody is to take it away, which Custody does not',
    `actor_iss` LowCardinality(String),
    `actor_sub` String,
    `until` DateTime64(6, 'UTC') COMMENT 'of excepted: when the exception ends',
    `reason` String,
    `event_id` UUID COMMENT 'of the event of type custody.change that is the evidence of it'
)
ENGINE = MergeTree
ORDER BY (tenant, review, line, time, id)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.review_lines
(
    `tenant` LowCardinality(String),
    `review` UUID,
    `number` UInt32 COMMENT 'its place in the review, from 1',
    `body` String COMMENT 'JSON' CODEC(ZSTD(3)),
    `key` String ALIAS JSONExtractString(body, 'key'),
    `kind` String ALIAS JSONExtractString(body, 'kind'),
    `owner` String ALIAS JSONExtractString(body, 'owner'),
    `identity` String ALIAS JSONExtractString(body, 'identity'),
    `server_id` String ALIAS JSONExtractString(body, 'server'),
    `name` String ALIAS JSONExtractString(body, 'name'),
    `state` String ALIAS JSONExtractString(body, 'state')
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, review, number)
SETTINGS index_granularity = 8192;

CREATE VIEW custody.review_states
(
    `tenant` LowCardinality(String),
    `review` UUID,
    `number` UInt32,
    `key` String,
    `kind` String,
    `owner` String,
    `identity` String,
    `server_id` String,
    `name` String,
    `state` String,
    `decision` String,
    `reviewer` String,
    `decided_time` DateTime64(6, 'UTC'),
    `reason` String,
    `until` DateTime64(6, 'UTC'),
    `event_id` UUID
)
AS SELECT
    l.tenant AS tenant,
    l.review AS review,
    l.number AS number,
    l.key AS key,
    l.kind AS kind,
    l.owner AS owner,
    l.identity AS identity,
    l.server_id AS server_id,
    l.name AS name,
    l.state AS state,
    if(a.decided = '', 'open', a.decided) AS decision,
    a.reviewer AS reviewer,
    a.decided_time AS decided_time,
    a.why AS reason,
    a.until AS until,
    a.event AS event_id
FROM
(
    SELECT
        tenant,
        review,
        number,
        key,
        kind,
        owner,
        identity,
        server_id,
        name,
        state
    FROM custody.review_lines
    FINAL
) AS l
LEFT JOIN
(
    SELECT
        tenant,
        review,
        line,
        argMax(toString(action), (time, id)) AS decided,
        argMax(actor_sub, (time, id)) AS reviewer,
        max(time) AS decided_time,
        argMax(reason, (time, id)) AS why,
        argMax(review_acts.until, (time, id)) AS until,
        argMax(event_id, (time, id)) AS event
    FROM custody.review_acts
    WHERE line != ''
    GROUP BY
        tenant,
        review,
        line
) AS a ON (a.tenant = l.tenant) AND (a.review = l.review) AND (a.line = l.key);

CREATE TABLE custody.reviews
(
    `tenant` LowCardinality(String),
    `id` UUID,
    `created_time` DateTime64(6, 'UTC'),
    `frozen` String COMMENT 'JSON: scope, checkpoints, owners that are missing, decisions, coverage, gaps, samples' CODEC(ZSTD(3)),
    `digest` FixedString(64) COMMENT 'SHA-256 of frozen and of the bodies of the lines in their order, hexadecimal; the event has it too',
    `event_id` UUID COMMENT 'of the event of type custody.change that is the evidence of it'
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, id)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.rhythm_states
(
    `tenant` LowCardinality(String),
    `week_hour` UInt8 COMMENT 'hour of the week of the calls, UTC: 0 begins on Mondays at 0:00',
    `iss` LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    `sub` String,
    `hour` DateTime('UTC') COMMENT 'of the calls',
    `stored_hour` DateTime('UTC'),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `outcome` LowCardinality(String),
    `minutes` SimpleAggregateFunction(maxMap, Map(UInt8, UInt64)) COMMENT 'how many were stored in each minute of stored_hour',
    `first` SimpleAggregateFunction(min, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID)),
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(stored_hour)
ORDER BY (tenant, week_hour, iss, sub, hour, stored_hour, server_id, tool_name, outcome)
SETTINGS index_granularity = 256;

CREATE TABLE custody.rule_progress
(
    `rule` LowCardinality(String),
    `watermark` DateTime64(6, 'UTC') COMMENT 'everything stored before was judged',
    `changed_time` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(changed_time)
ORDER BY rule
SETTINGS index_granularity = 8192;

CREATE TABLE custody.seal_discrepancies
(
    `tenant` LowCardinality(String) COMMENT 'empty when nothing tells whose the records were',
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `kind` LowCardinality(String) COMMENT 'edited, deleted, inserted, duplicated, hidden, restored, nodes, checkpoint, fork, rolled_back',
    `first_offset` UInt64,
    `last_offset` UInt64,
    `detail` String,
    `evidence` Array(UUID) COMMENT 'the tenant\'s events there, as they are stored now; at most 100',
    `found_time` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(found_time)
ORDER BY (tenant, topic, epoch, partition, kind, first_offset, last_offset)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.server_addresses
(
    `tenant` LowCardinality(String),
    `address` String,
    `server_id` LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, address, server_id)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.source_sequences
(
    `tenant` LowCardinality(String),
    `source_id` LowCardinality(String),
    `run` String COMMENT 'what stands before the number in source.event_id (RUN-N); empty when the ids are of another form',
    `sequence` UInt64,
    `event_id` UUID,
    `time` DateTime64(6, 'UTC'),
    `stored_time` DateTime64(6, 'UTC'),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC'),
    INDEX by_stored_time stored_time TYPE minmax GRANULARITY 1,
    PROJECTION blocks
    (
        SELECT
            tenant,
            source_id,
            run,
            intDiv(sequence, 65536),
            groupBitmapState(sequence),
            count()
        GROUP BY
            tenant,
            source_id,
            run,
            intDiv(sequence, 65536)
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, source_id, run, sequence)
SETTINGS non_replicated_deduplication_window = 10000, lightweight_mutation_projection_mode = 'rebuild', index_granularity = 8192;

CREATE MATERIALIZED VIEW custody.source_sequences_view TO custody.source_sequences
(
    `tenant` LowCardinality(String),
    `source_id` LowCardinality(String),
    `run` String,
    `sequence` UInt64,
    `event_id` UUID,
    `time` DateTime64(6, 'UTC'),
    `stored_time` DateTime64(6, 'UTC'),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC')
)
AS SELECT
    tenant,
    source_id,
    if(endsWith(source_event_id, concat('-', toString(source_sequence))), substring(source_event_id, 1, (length(source_event_id) - length(toString(source_sequence))) - 1), '') AS run,
    source_sequence AS sequence,
    id AS event_id,
    time,
    stored_time,
    epoch,
    partition,
    offset,
    log_time
FROM custody.records
WHERE (state = 'stored') AND (source_sequence > 0);

CREATE VIEW custody.task_sessions
(
    `tenant` LowCardinality(String),
    `task_id` String,
    `time` DateTime64(6, 'UTC'),
    `type` String,
    `event_id` UUID,
    `source_id` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC')
)
AS SELECT
    tenant,
    key AS task_id,
    time,
    other AS type,
    event_id,
    source_id,
    epoch,
    partition,
    offset,
    log_time
FROM custody.event_keys
WHERE relation = 'task';

CREATE TABLE custody.token_calls
(
    `tenant` LowCardinality(String),
    `ref` String,
    `first` SimpleAggregateFunction(min, Tuple(
        time DateTime64(6, 'UTC'),
        event_id UUID,
        server_id String)),
    `first_stored` SimpleAggregateFunction(min, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, ref)
SETTINGS index_granularity = 512;

CREATE VIEW custody.token_edges
(
    `tenant` LowCardinality(String),
    `child_ref` String,
    `parent_ref` String,
    `role` String,
    `time` DateTime64(6, 'UTC'),
    `event_id` UUID,
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC')
)
AS SELECT
    tenant,
    key AS child_ref,
    other AS parent_ref,
    if(relation = 'subject_parent', 'subject', 'actor') AS role,
    time,
    event_id,
    epoch,
    partition,
    offset,
    log_time
FROM custody.event_keys
WHERE relation IN ('subject_parent', 'actor_parent');

CREATE VIEW custody.token_edges_by_parent
(
    `tenant` LowCardinality(String),
    `parent_ref` String,
    `child_ref` String,
    `role` String,
    `time` DateTime64(6, 'UTC'),
    `event_id` UUID,
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC')
)
AS SELECT
    tenant,
    key AS parent_ref,
    other AS child_ref,
    if(relation = 'subject_child', 'subject', 'actor') AS role,
    time,
    event_id,
    epoch,
    partition,
    offset,
    log_time
FROM custody.event_keys
WHERE relation IN ('subject_child', 'actor_child');

CREATE TABLE custody.token_issues
(
    `tenant` LowCardinality(String),
    `ref` String,
    `event_id` UUID,
    `type` LowCardinality(String),
    `exchanged` Bool COMMENT 'by an exchange; else a credential',
    `time` DateTime64(6, 'UTC'),
    `source_id` LowCardinality(String),
    `parent_ref` String COMMENT 'the subject token of the exchange',
    `cached` Bool COMMENT 'a cache answered with it again',
    `step_up` Bool,
    `expires_at` DateTime64(6, 'UTC') COMMENT '1970-01-01 is not known',
    `audience` Array(LowCardinality(String)) COMMENT 'that it was asked for or issued for',
    `scope` Array(LowCardinality(String)) COMMENT 'that it was asked for or issued with',
    `subject_scope` Array(LowCardinality(String)) COMMENT 'of the subject token, as the exchange says',
    PROJECTION by_parent
    (
        SELECT
            tenant,
            parent_ref,
            ref
        ORDER BY
            tenant,
            parent_ref,
            ref
    )
)
ENGINE = ReplacingMergeTree
ORDER BY (tenant, ref, event_id)
SETTINGS index_granularity = 512, deduplicate_merge_projection_mode = 'rebuild';

CREATE VIEW custody.token_lineage
(
    `tenant` LowCardinality(String),
    `ref` String,
    `parent_ref` String,
    `other_parent_ref` String,
    `issued_time` DateTime64(6, 'UTC'),
    `root_ref` String,
    `root_iss` LowCardinality(String),
    `root_sub` String,
    `root_type` LowCardinality(String),
    `root_basis` Enum8('unknown' = 0, 'claim' = 1, 'delegated' = 2, 'issued' = 3),
    `depth` UInt8,
    `state` Enum8('complete' = 1, 'pending' = 2, 'cycle' = 3, 'too_deep' = 4),
    `computed_time` DateTime64(6, 'UTC'),
    `missing` String
)
AS SELECT
    * EXCEPT version,
    multiIf(state = 'cycle', 'its exchanges lead back to itself', state = 'too_deep', 'more than 50 exchanges', state = 'complete', '', root_basis = 'delegated', 'the exchange that issued the root was not seen yet', 'no event says yet how the root was issued') AS missing
FROM custody.token_lineage_states
FINAL;

CREATE TABLE custody.token_lineage_states
(
    `tenant` LowCardinality(String),
    `ref` String,
    `parent_ref` String COMMENT 'the subject token of the exchange that issued it; empty at a root',
    `other_parent_ref` String COMMENT 'another one that an exchange named; the earliest exchange counts',
    `issued_time` DateTime64(6, 'UTC') COMMENT 'of that exchange; 1970-01-01 at a root',
    `root_ref` String COMMENT 'the first token as far as it is known; empty in a cycle and when it is too deep',
    `root_iss` LowCardinality(String) COMMENT 'on whose behalf the root was issued; empty: not known',
    `root_sub` String,
    `root_type` LowCardinality(String),
    `root_basis` Enum8('unknown' = 0, 'claim' = 1, 'delegated' = 2, 'issued' = 3) COMMENT 'what shows that the root is one. issued: an event of its issue; claim: nobody acted with it before, by the act claim of a token issued for it; delegated: it is none, by that claim somebody did',
    `depth` UInt8 COMMENT 'exchanges from the root; 51 when it is too deep',
    `state` Enum8('complete' = 1, 'pending' = 2, 'cycle' = 3, 'too_deep' = 4) COMMENT 'pending: the beginning was not seen yet',
    `computed_time` DateTime64(6, 'UTC') DEFAULT now64(6),
    `version` UInt64 COMMENT 'microseconds since 1970 when what it rests on was read',
    PROJECTION by_parent
    (
        SELECT
            tenant,
            parent_ref,
            ref
        ORDER BY
            tenant,
            parent_ref,
            ref
    )
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (tenant, ref)
SETTINGS index_granularity = 512, deduplicate_merge_projection_mode = 'rebuild';

CREATE TABLE custody.token_services
(
    `tenant` LowCardinality(String),
    `iss` LowCardinality(String) COMMENT 'with sub: who presented it',
    `sub` String,
    `ref` String,
    `last_time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `tasks` AggregateFunction(uniqCombined64(12), String),
    `sessions` AggregateFunction(uniqCombined64(12), String)
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, iss, sub, ref)
SETTINGS index_granularity = 8192;

CREATE VIEW custody.token_use
(
    `tenant` LowCardinality(String),
    `ref` String,
    `role` String,
    `time` DateTime64(6, 'UTC'),
    `event_id` UUID,
    `kind` LowCardinality(String),
    `server_id` LowCardinality(String),
    `epoch` LowCardinality(String),
    `partition` UInt32,
    `offset` UInt64,
    `log_time` DateTime64(3, 'UTC')
)
AS SELECT
    tenant,
    key AS ref,
    toString(relation) AS role,
    time,
    event_id,
    kind,
    server_id,
    epoch,
    partition,
    offset,
    log_time
FROM custody.event_keys
WHERE relation IN ('presented', 'issued');

CREATE TABLE custody.tree_nodes
(
    `topic` LowCardinality(String),
    `epoch` LowCardinality(String) COMMENT 'incarnation of the partition\'s log; leaf i is the record at offset base + i',
    `partition` UInt32 CODEC(ZSTD(1)),
    `level` UInt8 CODEC(ZSTD(1)),
    `index` UInt64 COMMENT 'the node is over the leaves from index * 2^level' CODEC(Delta(8), ZSTD(1)),
    `hash` FixedString(32) CODEC(NONE)
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, epoch, partition, level, index)
SETTINGS index_granularity = 8192;

CREATE TABLE custody.verdict_states
(
    `tenant` LowCardinality(String),
    `id` UUID COMMENT 'of the call',
    `time` DateTime64(6, 'UTC') COMMENT 'of the call',
    `log_time` DateTime64(3, 'UTC') COMMENT 'of the call',
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `subject_sub` String,
    `actor_sub` String,
    `token_ref` String,
    `trace_id` String,
    `outcome` LowCardinality(String),
    `decision_state` Enum8('none' = 0, 'decided_allow' = 1, 'decided_deny_but_ran' = 2, 'denied' = 3, 'undecided' = 4),
    `decision_event` UUID COMMENT 'the decision that counts; zero: none',
    `decision_join` Enum8('' = 0, 'trace' = 1, 'trace_jsonrpc' = 2, 'token_jsonrpc' = 3, 'decision_id' = 4) COMMENT 'by what it was found',
    `decision_effect` LowCardinality(String),
    `decision_time` DateTime64(6, 'UTC') COMMENT '1970-01-01: none',
    `decision_source` LowCardinality(String),
    `decision_engine` LowCardinality(String),
    `decision_policy` LowCardinality(String),
    `decision_policy_version` LowCardinality(String),
    `token_state` Enum8('none' = 0, 'legitimate' = 1, 'passthrough' = 2, 'static' = 3, 'absent' = 4, 'expired' = 5) COMMENT 'none: no event of its issue was seen',
    `token_event` UUID COMMENT 'the exchange or the issue that made the token; zero: none was seen',
    `token_source` LowCardinality(String) COMMENT 'of that event',
    `token_issuer` LowCardinality(String) COMMENT 'of the token, or of the subject where the token names none',
    `token_time` DateTime64(6, 'UTC') COMMENT 'when it was issued, as far as is known; else of the call',
    `exchange_verdict` Enum8('unknown' = 0, 'none' = 1, 'exact' = 2, 'narrowed' = 3, 'widening' = 4, 'step_up' = 5, 'cached' = 6),
    `exchange_scope_added` Array(String) COMMENT 'granted, and not in the subject token',
    `digest` UInt64 COMMENT 'of all of it: what did not change is not written again',
    `version` UInt64 COMMENT 'microseconds since 1970 when what it rests on was read'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(log_time)
ORDER BY (tenant, toStartOfHour(time), id)
SETTINGS index_granularity = 8192;

CREATE VIEW custody.verdicts
(
    `tenant` LowCardinality(String),
    `id` UUID,
    `time` DateTime64(6, 'UTC'),
    `source_id` LowCardinality(String),
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `subject_sub` String,
    `actor_sub` String,
    `token_ref` String,
    `trace_id` String,
    `outcome` LowCardinality(String),
    `ran` UInt8,
    `decision_verdict` String,
    `token_verdict` String,
    `exchange_verdict` String,
    `decision_event` UUID,
    `join` String,
    `decision_effect` LowCardinality(String),
    `decision_time` DateTime64(6, 'UTC'),
    `decision_source` LowCardinality(String),
    `decision_engine` LowCardinality(String),
    `decision_policy` LowCardinality(String),
    `decision_policy_version` LowCardinality(String),
    `token_event` UUID,
    `token_source` LowCardinality(String),
    `token_issuer` LowCardinality(String),
    `exchange_scope_added` Array(String),
    `deciders` Array(Tuple(
        String,
        SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
        SimpleAggregateFunction(max, DateTime64(6, 'UTC')))),
    `issuers` Array(Tuple(
        String,
        SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
        SimpleAggregateFunction(max, DateTime64(6, 'UTC')))),
    `coverage_note` String,
    `decision_state` Enum8('none' = 0, 'decided_allow' = 1, 'decided_deny_but_ran' = 2, 'denied' = 3, 'undecided' = 4),
    `token_state` Enum8('none' = 0, 'legitimate' = 1, 'passthrough' = 2, 'static' = 3, 'absent' = 4, 'expired' = 5)
)
AS SELECT
    v.tenant AS tenant,
    v.id AS id,
    v.time AS time,
    v.source_id AS source_id,
    v.server_id AS server_id,
    v.tool_name AS tool_name,
    v.subject_sub AS subject_sub,
    v.actor_sub AS actor_sub,
    v.token_ref AS token_ref,
    v.trace_id AS trace_id,
    v.outcome AS outcome,
    CAST(v.outcome, 'String') IN ('success', 'failure') AS ran,
    multiIf(v.decision_state != 'none', toString(v.decision_state), notEmpty(deciders), 'no_decision_seen', 'no_decision_source') AS decision_verdict,
    multiIf(v.token_state != 'none', toString(v.token_state), notEmpty(issuers), 'orphan', 'issuer_not_connected') AS token_verdict,
    toString(v.exchange_verdict) AS exchange_verdict,
    v.decision_event AS decision_event,
    toString(v.decision_join) AS join,
    v.decision_effect AS decision_effect,
    v.decision_time AS decision_time,
    v.decision_source AS decision_source,
    v.decision_engine AS decision_engine,
    v.decision_policy AS decision_policy,
    v.decision_policy_version AS decision_policy_version,
    v.token_event AS token_event,
    v.token_source AS token_source,
    v.token_issuer AS token_issuer,
    v.exchange_scope_added AS exchange_scope_added,
    arrayFilter(s -> (((s.2) <= (v.time + toIntervalSecond(30))) AND ((s.3) >= (v.time - toIntervalSecond(30)))), d.heard) AS deciders,
    arrayFilter(s -> (((s.2) <= (v.token_time + toIntervalSecond(30))) AND ((s.3) >= (v.token_time - toIntervalSecond(30)))), i.heard) AS issuers,
    concat(multiIf(v.decision_source != '', concat(v.decision_source, ' reported the decision'), v.decision_state = 'denied', 'the server refused by itself', notEmpty(deciders), concat(arrayStringConcat(arrayMap(s -> toString(s.1), deciders), ', '), ' decided about ', v.server_id, ' before and was heard of afterwards'), concat('no source of decisions was heard of around the call about ', v.server_id)), multiIf(v.token_source != '', concat('; ', v.token_source, if(v.token_state = 'static', ' reported the credential', ' reported the token\'s issue')), (v.token_ref = '') OR (v.token_state = 'static'), '', notEmpty(issuers), concat('; ', arrayStringConcat(arrayMap(s -> toString(s.1), issuers), ', '), ' reports tokens of ', v.token_issuer, ' and was heard of before and after the issue'), concat('; no source that reports tokens of ', if(v.token_issuer = '', 'its unnamed issuer', v.token_issuer), ' was heard of around the issue'))) AS coverage_note,
    v.decision_state AS decision_state,
    v.token_state AS token_state
FROM
(
    SELECT *
    FROM custody.verdict_states
    FINAL
) AS v
LEFT JOIN custody.decision_coverage AS d ON (d.tenant = v.tenant) AND (d.server_id = v.server_id) AND (d.hour = toStartOfHour(v.time))
LEFT JOIN custody.issuer_coverage AS i ON (i.tenant = v.tenant) AND (i.issuer = v.token_issuer) AND (i.hour = toStartOfHour(v.token_time));

CREATE VIEW custody.worklist
(
    `tenant` LowCardinality(String),
    `key` FixedString(64),
    `rule` LowCardinality(String),
    `rule_version` UInt32,
    `subject_key` Array(String),
    `severity` Enum8('info' = 1, 'low' = 2, 'medium' = 3, 'high' = 4, 'critical' = 5),
    `title` String,
    `summary` String,
    `subject_sub` String,
    `actor_sub` String,
    `server_id` LowCardinality(String),
    `tool_name` LowCardinality(String),
    `token_ref` String,
    `task_id` String,
    `trace_id` String,
    `evidence` Array(UUID),
    `first_seen` DateTime64(6, 'UTC'),
    `last_seen` DateTime64(6, 'UTC'),
    `coverage` Enum8('recorded' = 1, 'absence' = 2),
    `coverage_note` String,
    `coverage_sources` Array(LowCardinality(String)),
    `opened_time` DateTime64(6, 'UTC'),
    `changed_time` DateTime64(6, 'UTC'),
    `status` String,
    `identity` String,
    `chain` String,
    `assignee` String,
    `handled_by` String,
    `handled_time` DateTime64(6, 'UTC'),
    `reason` String,
    `excepted_until` DateTime64(6, 'UTC'),
    `updated_time` DateTime64(6, 'UTC'),
    `revision` String
)
AS SELECT
    f.tenant AS tenant,
    f.key AS key,
    f.* EXCEPT (tenant, key, status),
    multiIf(f.status = 'auto_resolved', 'auto_resolved', (h.step = 'excepted') AND (h.until > now64(6)), 'excepted', h.step_time <= h.reappeared_time, 'open', (h.step = 'resolved') AND (f.last_seen <= h.seen) AND hasAll(h.seen_evidence, f.evidence), 'resolved', h.step = 'acknowledged', 'acknowledged', (h.step = 'assigned') AND (h.assignee != ''), 'assigned', 'open') AS status,
    if(f.actor_sub != '', f.actor_sub, f.subject_sub) AS identity,
    multiIf(l.root_ref != '', l.root_ref, f.token_ref != '', f.token_ref, f.task_id != '', concat('task:', f.task_id), f.trace_id != '', concat('trace:', f.trace_id), '') AS chain,
    h.assignee AS assignee,
    h.step_actor AS handled_by,
    h.step_time AS handled_time,
    h.step_comment AS reason,
    if(h.step = 'excepted', h.until, toDateTime64(0, 6, 'UTC')) AS excepted_until,
    greatest(f.changed_time, h.newest_time, if((h.step = 'excepted') AND (h.until <= now64(6)), h.until, h.step_time)) AS updated_time,
    hex(sipHash64(f.changed_time, h.newest, status)) AS revision
FROM
(
    SELECT *
    FROM custody.finding_states
    FINAL
) AS f
LEFT JOIN
(
    SELECT
        tenant,
        key,
        maxIf(time, action = 'reappeared') AS reappeared_time,
        argMax(id, (time, id)) AS newest,
        max(time) AS newest_time,
        argMaxIf(toString(action), (time, id), (action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened'))) AS step,
        maxIf(time, (action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened'))) AS step_time,
        argMaxIf(actor_sub, (time, id), (action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened'))) AS step_actor,
        argMaxIf(comment, (time, id), (action IN ('acknowledged', 'assigned', 'resolved', 'excepted', 'reopened'))) AS step_comment,
        argMaxIf(finding_history.until, (time, id), action = 'excepted') AS until,
        argMaxIf(last_seen, (time, id), action = 'resolved') AS seen,
        argMaxIf(evidence, (time, id), action = 'resolved') AS seen_evidence,
        argMaxIf(finding_history.assignee, (time, id), action = 'assigned') AS assignee
    FROM custody.finding_history
    GROUP BY
        tenant,
        key
) AS h ON (h.tenant = f.tenant) AND (h.key = f.key)
LEFT JOIN
(
    SELECT
        tenant,
        ref,
        root_ref
    FROM custody.token_lineage_states
    FINAL
    WHERE (tenant, ref) IN (
        SELECT
            tenant,
            token_ref
        FROM custody.finding_states
    )
) AS l ON (l.tenant = f.tenant) AND (l.ref = f.token_ref);

