-- How are these calls judged, by all that is stored? The table concerned names them, the table used their tokens. What comes out as it is
-- stored is not written again.
INSERT INTO verdict_states (tenant, id, time, log_time, source_id, server_id, tool_name, subject_sub, actor_sub, token_ref, trace_id, outcome,
    decision_state, decision_event, decision_join, decision_effect, decision_time, decision_source, decision_engine, decision_policy, decision_policy_version,
    token_state, token_event, token_source, token_issuer, token_time, exchange_verdict, exchange_scope_added, digest, version)
WITH
    calls AS (
        SELECT tenant, id, time, log_time, source_id, server_id, server_uri, tool_name, subject_iss, subject_sub, actor_sub, trace_id, outcome,
            CAST(outcome, 'String') IN ('success', 'failure') AS ran, token_ref, token_iss, token_audience, token_audience_check, token_issued_at, token_expires_at, token_static
        FROM records
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM concerned) AND id IN (SELECT id FROM concerned)
            AND state = 'stored' AND type = 'mcp.tools.call'
    ),
    asked AS (
        SELECT tenant, join_key, id, time, jsonrpc_id, named_decision_id AS named, time + toIntervalMillisecond(tool_duration_ms) AS done,
            toUInt8(join_key.1) AS joined,
            -- The trace alone joins only where a side knows no JSON-RPC id; as a part of the key, or thousands in one trace would meet thousands.
            arrayJoin(if(joined = 1 AND jsonrpc_id != '', [true], [true, false])) AS nameless
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM concerned) AND id IN (SELECT id FROM concerned) AND type = 'mcp.tools.call'
    ),
    answers AS (
        SELECT tenant, join_key, jsonrpc_id = '' AS nameless, id, time, named_decision_id AS named, toString(decision_effect) AS effect, effect IN ('allow', 'deny') AS decides,
            toString(source_id) AS source, toString(decision_engine) AS engine, toString(decision_policy) AS policy, toString(decision_policy_version) AS policy_version
        FROM decision_joins
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, arrayJoin([hour - 3600, hour, hour + 3600]) FROM concerned) AND kind = 'permission_decision'
            AND (tenant, join_key) IN (SELECT tenant, join_key FROM asked)
    ),
    -- The strongest join counts; of several by it the last that decides before the call is over, or else the first afterwards.
    decisions AS (
        SELECT c.tenant AS tenant, c.id AS id,
            argMax((d.id, d.effect, d.time, d.source, d.engine, d.policy, d.policy_version, c.joined),
                (c.joined, d.decides AND d.time <= c.done, d.decides, if(d.time <= c.done, 1, -1) * toUnixTimestamp64Micro(d.time), d.id)) AS best
        FROM asked AS c
        INNER JOIN answers AS d ON d.tenant = c.tenant AND d.join_key = c.join_key AND d.nameless = c.nameless
        WHERE (c.join_key.1 = 'decision' OR abs(dateDiff('millisecond', c.time, d.time)) <= 300000)
            AND (c.named = '' OR d.named = '' OR c.named = d.named) -- the caller says which one, and it is another
        GROUP BY c.tenant, c.id
    ),
    issues AS (
        SELECT tenant, ref, event_id AS id, type, exchanged, time, toString(source_id) AS source, parent_ref, cached, step_up, expires_at, audience, scope, subject_scope
        FROM token_issues
        WHERE (tenant, ref) IN (SELECT tenant, ref FROM used)
    ),
    -- What the subject token held, where the exchange does not say.
    held AS (
        SELECT tenant, ref, argMin(scope, (time, event_id)) AS scope
        FROM token_issues
        WHERE (tenant, ref) IN (
                SELECT tenant, parent_ref FROM token_issues WHERE (tenant, ref) IN (SELECT tenant, ref FROM used) AND exchanged AND empty(subject_scope) AND parent_ref != '')
            AND (exchanged OR type = 'credential.issued')
        GROUP BY tenant, ref
    ),
    -- A token may be issued by one exchange, and a cache may answer with it again.
    exchanges AS (
        SELECT x.tenant AS tenant, x.ref AS ref, argMin((x.id, x.source, x.time, x.expires_at, x.step_up), (x.cached, x.time, x.id)) AS it,
            argMin(x.audience, (x.cached, x.time, x.id)) AS audience,
            argMin(x.scope, (x.cached, x.time, x.id)) AS granted,
            argMin(if(notEmpty(x.subject_scope), x.subject_scope, h.scope), (x.cached, x.time, x.id)) AS had,
            min(x.cached) AS only_cached
        FROM issues AS x
        LEFT JOIN held AS h ON h.tenant = x.tenant AND h.ref = x.parent_ref
        WHERE x.exchanged
        GROUP BY x.tenant, x.ref
    ),
    credentials AS (
        SELECT tenant, ref, argMinIf((id, source, time, expires_at), (time, id), type != 'credential.revoked') AS it,
            argMinIf(audience, (time, id), type != 'credential.revoked') AS audience, max(type = 'credential.static') AS static,
            minIf(time, type = 'credential.revoked') AS revoked
        FROM issues
        WHERE NOT exchanged
        GROUP BY tenant, ref
    ),
    firsts AS (
        SELECT tenant, ref, min(first) AS first FROM token_calls WHERE (tenant, ref) IN (SELECT tenant, ref FROM used) GROUP BY tenant, ref
    ),
    known AS (
        SELECT tenant, id, argMax(digest, version) AS digest
        FROM verdict_states
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM concerned) AND id IN (SELECT id FROM concerned)
        GROUP BY tenant, id
    ),
    facts AS (
        SELECT c.tenant AS tenant, c.id AS id, c.time AS time, c.log_time AS log_time, c.source_id AS source_id, c.server_id AS server_id, c.server_uri AS
            server_uri, c.tool_name AS tool_name, c.subject_iss AS subject_iss, c.subject_sub AS subject_sub, c.actor_sub AS actor_sub, c.trace_id AS trace_id,
            c.outcome AS outcome, c.ran AS ran, c.token_ref AS token_ref, c.token_audience AS token_audience, c.token_audience_check AS token_audience_check,
            c.token_issued_at AS token_issued_at,
            d.best AS decision, c.token_iss AS iss,
            x.it.1 != toUUID('00000000-0000-0000-0000-000000000000') AS exchanged, i.it.1 != toUUID('00000000-0000-0000-0000-000000000000') AS credited,
            c.token_static OR i.static AS static, i.revoked AS revoked,
            if(exchanged, x.it.1, i.it.1) AS issue_event, if(exchanged, x.it.2, i.it.2) AS issue_source, if(exchanged, x.it.3, i.it.3) AS issue_time,
            x.it.5 AS step_up, x.granted AS granted, x.had AS had, x.only_cached AS only_cached,
            multiIf(toUnixTimestamp64Micro(c.token_expires_at) != 0, c.token_expires_at, exchanged, x.it.4, i.it.4) AS expires,
            multiIf(notEmpty(c.token_audience), c.token_audience, exchanged, x.audience, i.audience) AS audience,
            f.first AS first
        FROM calls AS c
        LEFT JOIN decisions AS d ON d.tenant = c.tenant AND d.id = c.id
        LEFT JOIN exchanges AS x ON x.tenant = c.tenant AND x.ref = c.token_ref
        LEFT JOIN credentials AS i ON i.tenant = c.tenant AND i.ref = c.token_ref
        LEFT JOIN firsts AS f ON f.tenant = c.tenant AND f.ref = c.token_ref
    ),
    judged AS (
        SELECT tenant, id, time, log_time, source_id, server_id, tool_name, subject_sub, actor_sub, token_ref, trace_id, outcome,
            multiIf(decision.2 = 'allow', 'decided_allow', decision.2 = 'deny' AND ran, 'decided_deny_but_ran', decision.2 = 'deny', 'denied',
                decision.2 != '', 'undecided', outcome = 'denied', 'denied', 'none') AS decision_state,
            decision.1 AS decision_event,
            transform(decision.8, [1, 2, 3, 4], ['trace', 'trace_jsonrpc', 'token_jsonrpc', 'decision_id'], '') AS decision_join,
            decision.2 AS decision_effect, decision.3 AS decision_time, decision.4 AS decision_source, decision.5 AS decision_engine, decision.6 AS decision_policy, decision.7 AS decision_policy_version,
            if(server_uri = '', '', trimRight(toString(server_uri), '/')) AS uri,
            -- What was checked when the call was stored knows the registry; what the exchange or the issue says is compared with the call.
            multiIf(notEmpty(token_audience) AND token_audience_check != '', token_audience_check = 'mismatch',
                empty(audience), ran AND first.2 != toUUID('00000000-0000-0000-0000-000000000000') AND first.3 != toString(server_id),
                uri != '' AND NOT arrayExists(a -> trimRight(toString(a), '/') IN (uri, toString(server_id)), audience)) AS elsewhere,
            multiIf(token_ref = '', 'absent', static, 'static', elsewhere, 'passthrough',
                toUnixTimestamp64Micro(expires) != 0 AND time > expires OR toUnixTimestamp64Micro(revoked) != 0 AND time > revoked, 'expired',
                exchanged OR credited, 'legitimate', 'none') AS token_state,
            issue_event AS token_event, issue_source AS token_source, if(iss != '', toString(iss), toString(subject_iss)) AS token_issuer,
            multiIf(exchanged OR credited, issue_time, toUnixTimestamp64Micro(token_issued_at) != 0, token_issued_at, time) AS token_time,
            if(exchanged AND notEmpty(had), arrayFilter(s -> NOT has(had, s), arrayDistinct(arrayMap(s -> toString(s), granted))), CAST([], 'Array(String)')) AS exchange_scope_added,
            multiIf(token_ref = '' OR static, 'none', NOT exchanged AND credited, 'none', NOT exchanged, 'unknown',
                notEmpty(exchange_scope_added), 'widening', step_up, 'step_up',
                only_cached OR first.2 != toUUID('00000000-0000-0000-0000-000000000000') AND (time, id) > (first.1, first.2), 'cached',
                empty(had) OR empty(granted), 'unknown', hasAll(granted, had), 'exact', 'narrowed') AS exchange_verdict
        FROM facts
    ),
    fingerprinted AS (
        SELECT *, cityHash64(decision_state, decision_event, decision_join, decision_effect, decision_time, decision_source, decision_engine, decision_policy, decision_policy_version,
            token_state, token_event, token_source, token_issuer, token_time, exchange_verdict, exchange_scope_added) AS fingerprint
        FROM judged
    )
SELECT j.tenant, j.id, j.time, j.log_time, j.source_id, j.server_id, j.tool_name, j.subject_sub, j.actor_sub, j.token_ref, j.trace_id, j.outcome,
    j.decision_state, j.decision_event, j.decision_join, j.decision_effect, j.decision_time, j.decision_source, j.decision_engine, j.decision_policy, j.decision_policy_version,
    j.token_state, j.token_event, j.token_source, j.token_issuer, j.token_time, j.exchange_verdict, j.exchange_scope_added, j.fingerprint, {version:UInt64}
FROM fingerprinted AS j
LEFT JOIN known AS k ON k.tenant = j.tenant AND k.id = j.id
WHERE k.digest != j.fingerprint
