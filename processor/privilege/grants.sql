-- What does that which is new say about who may do what, and who does? Written again it changes nothing. Whoever acted holds it, the
-- subject where nobody acts for it. Scopes are those of the token that is presented or issued; a call uses those of them that the
-- registered tool needs, and may have used each where nobody registered what it needs. Events that say the same come together first.
INSERT INTO privilege_states (tenant, iss, sub, server, kind, name, holder, how, granted_first, granted_last, granted_days, removed_last, used_first, used_last, used_days, uses, maybe_last, static_last, tokens, lifetimes, taken_time)
WITH
    (toDateTime64('2299-12-31 00:00:00', 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000')) AS never,
    (toDateTime64(0, 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000')) AS nothing
SELECT tenant, iss, sub, server, fact.kind AS kind, fact.name AS name,
    max(holder) AS holder,
    groupBitOr(fact.how) AS how,
    min(if(fact.how > 0, first, never)) AS granted_first,
    maxIf(last.1, fact.how > 0) AS granted_last,
    groupBitmapStateIf(day, fact.how > 0) AS granted_days,
    max(if(fact.removed, last, nothing)) AS removed_last,
    min(if(fact.used, first, never)) AS used_first,
    max(if(fact.used, last, nothing)) AS used_last,
    groupBitmapStateIf(day, fact.used) AS used_days,
    uniqCombined64MergeStateIf(12)(ids, fact.used) AS uses,
    maxIf(last.1, fact.maybe) AS maybe_last,
    maxIf(last.1, fact.how > 0 AND static) AS static_last,
    uniqCombined64MergeStateIf(12)(refs, fact.how > 0) AS tokens,
    uniqCombined64MapMergeStateIf(12)(refs_by_lifetime, fact.how > 0 AND kind = 'scope') AS lifetimes,
    now64(6, 'UTC') AS taken_time
FROM
(
    SELECT *,
        arrayJoin(if(empty(addressed), [''], arrayMap(a -> toString(a), addressed))) AS server,
        arrayJoin(arrayFilter(f -> f.2 != '', arrayConcat(
            arrayMap(t -> ('tool', t, tool_how, ran, false, removes), tools),
            arrayMap(s -> ('scope', toString(s), scope_how,
                ran AND known AND (NOT has(excess, s) OR endsWith(s, '*') AND arrayExists(m -> startsWith(m, substring(s, 1, length(s) - 1)), missing)),
                ran AND NOT known, removes), scopes)
        )))::Tuple(kind String, name String, how UInt8, used Bool, maybe Bool, removed Bool) AS fact
    FROM
    (
        SELECT tenant,
            if(actor_sub != '', actor_iss, subject_iss) AS iss,
            if(actor_sub != '', actor_sub, subject_sub) AS sub,
            multiIf(
                r.kind = 'token_exchange', arrayDistinct(arrayConcat(exchange_resource, exchange_requested_audience)),
                server_id != '', [server_id],
                server_uri != '', [server_uri],
                r.kind IN ('credential', 'grant'), token_audience,
                []) AS addressed,
            multiIf(r.kind != 'token_exchange', token_scope, empty(exchange_granted_scope), exchange_requested_scope, exchange_granted_scope) AS scopes,
            multiIf(
                r.type = 'mcp.tools.list', splitByChar(' ', attributes['mcp.tools.names']),
                r.type = 'mcp.tools.call' OR r.kind = 'permission_decision' AND decision_effect = 'allow' AND NOT decision_inferred OR r.kind = 'grant', [toString(tool_name)],
                []) AS tools,
            r.type = 'grant.removed' AS removes,
            toUInt8(multiIf(removes, 0, r.kind = 'token_exchange', 2, r.kind = 'grant', 8, r.kind = 'credential', 32, 1)) AS scope_how,
            toUInt8(multiIf(removes, 0, r.kind = 'grant', 8, r.kind = 'permission_decision', 4, r.type = 'mcp.tools.list', 16, 0)) AS tool_how,
            r.type = 'mcp.tools.call' AND outcome IN ('success', 'failure') AS ran,
            notEmpty(tool_scopes) AS known,
            token_scope_excess AS excess,
            token_scope_missing AS missing,
            token_static AND r.kind != 'token_exchange' AS static,
            toUInt32(intDiv(toUnixTimestamp64Micro(r.time), 86400000000)) AS day,
            max((r.time, toString(if(actor_sub != '', actor_type, subject_type)), toString(if(actor_sub != '', actor_owner, subject_owner)))) AS holder,
            min((r.time, r.id)) AS first,
            max((r.time, r.id)) AS last,
            uniqCombined64State(12)(r.id) AS ids,
            uniqCombined64StateIf(12)(ref, ref != '') AS refs,
            uniqCombined64MapStateIf(12)(map(toUInt32(lifetime), ref), ref != '' AND lifetime > 0) AS refs_by_lifetime
        FROM
        (
            SELECT *,
                if(kind = 'token_exchange', exchange_issued_token_ref, token_ref) AS ref,
                if(kind = 'token_exchange', toInt64(least(exchange_expires_in, 4000000000)), token_lifetime_seconds) AS seconds,
                exp10(greatest(floor(log10(greatest(seconds, 1))) - 1, 0)) AS digit,
                least(ceil(greatest(seconds, 0) / digit) * digit, 4000000000) AS lifetime
            FROM records
            WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
                AND (actor_sub != '' OR subject_sub != '')
                AND (kind IN ('tool_invocation', 'permission_decision') OR kind = 'token_exchange' AND outcome = 'success'
                    OR kind = 'grant' AND type LIKE 'grant.%' OR kind = 'credential' AND type != 'credential.revoked')
        ) AS r
        GROUP BY tenant, iss, sub, addressed, scopes, tools, removes, scope_how, tool_how, ran, known, excess, missing, static, day
    )
)
GROUP BY tenant, iss, sub, server, kind, name
