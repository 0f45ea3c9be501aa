-- One row is one tool call judged against the decisions, exchanges and issues that were seen, with the coverage that it rests on. What is
-- absent is judged here, when it is asked for: a source that is heard of later changes no stored row. The clocks of a source and of the
-- server of the call may differ by 30 s.
CREATE VIEW IF NOT EXISTS verdicts AS
SELECT
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
    arrayFilter(s -> s.2 <= v.time + toIntervalSecond(30) AND s.3 >= v.time - toIntervalSecond(30), d.heard) AS deciders,
    arrayFilter(s -> s.2 <= v.token_time + toIntervalSecond(30) AND s.3 >= v.token_time - toIntervalSecond(30), i.heard) AS issuers,
    concat(
        multiIf(
            v.decision_source != '', concat(v.decision_source, ' reported the decision'),
            v.decision_state = 'denied', 'the server refused by itself',
            notEmpty(deciders), concat(arrayStringConcat(arrayMap(s -> toString(s.1), deciders), ', '), ' decided about ', v.server_id, ' before and was heard of afterwards'),
            concat('no source of decisions was heard of around the call about ', v.server_id)),
        multiIf(
            v.token_source != '', concat('; ', v.token_source, if(v.token_state = 'static', ' reported the credential', ' reported the token''s issue')),
            v.token_ref = '' OR v.token_state = 'static', '',
            notEmpty(issuers), concat('; ', arrayStringConcat(arrayMap(s -> toString(s.1), issuers), ', '), ' reports tokens of ', v.token_issuer, ' and was heard of before and after the issue'),
            concat('; no source that reports tokens of ', if(v.token_issuer = '', 'its unnamed issuer', v.token_issuer), ' was heard of around the issue'))) AS coverage_note,
    v.decision_state AS decision_state,
    v.token_state AS token_state
FROM (SELECT * FROM verdict_states FINAL) AS v
LEFT JOIN decision_coverage AS d ON d.tenant = v.tenant AND d.server_id = v.server_id AND d.hour = toStartOfHour(v.time)
LEFT JOIN issuer_coverage AS i ON i.tenant = v.tenant AND i.issuer = v.token_issuer AND i.hour = toStartOfHour(v.token_time)
