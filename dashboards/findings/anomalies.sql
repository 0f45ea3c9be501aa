-- What is odd against an identity's own past, or that of others, and by how much?
-- Row: one identity on one day of which a rule about anomalies (volume, tools, servers, refusals by hour of the week) or about what is seen for the first time says that it is not usual, by when it was seen last.
-- Units: "measured" is the sentence with the numbers: what was counted in the hour, what is usual around that hour of the week (least, most, median, MAD), over how many weeks or others, and above which number it is odd.
-- Not covered: hours in which a source was not connected count as quiet. An identity known for a few weeks only is held against others too.
-- Empty: Nothing unusual was found in this range.
SELECT
    tenant,
    rule,
    toString(severity) AS severity,
    identity,
    server_id AS server,
    tool_name AS tool,
    last_seen AS seen,
    summary AS measured,
    status,
    coverage_note AS rests_on,
    toString(key) AS finding
FROM worklist
WHERE ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({server:String} = '*' OR server_id = {server:String})
  AND ({agent:String} = '*' OR actor_sub = {agent:String} OR subject_sub = {agent:String})
  AND ({severity:String} = '*' OR toString(worklist.severity) = {severity:String})
  AND last_seen >= {from:DateTime64(3)} AND last_seen <= {to:DateTime64(3)}
  AND (endsWith(rule, '_anomaly') OR startsWith(rule, 'new_') OR rule IN ('deny_burst', 'tool_sweep', 'dormant_identity'))
ORDER BY worklist.severity DESC, last_seen DESC, tenant, key
LIMIT 500
