-- Which agents acted?
-- Row: one agent, by its subject identifier, of the tenant chosen.
-- Units: none.
-- Not covered: agents that no source calls one, or without an event in the last seven days of the range: type the name of another; the issuer, when two vouch for the same name.
-- Empty: No agent acted in this range.
SELECT DISTINCT agent
FROM events
ARRAY JOIN arrayConcat(
    arrayFilter((sub, type) -> type = 'agent', chain_sub, chain_type),
    if(actor_type = 'agent', [actor_sub], []),
    if(subject_type = 'agent', [subject_sub], [])) AS agent
WHERE time >= greatest({from:DateTime64(3)}, {to:DateTime64(3)} - toIntervalDay(7)) AND time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND agent != ''
ORDER BY agent
LIMIT 1000
