-- One row is when somebody was first and last seen with something, in a part of what was stored; the view first_seen puts them
-- together. First and last are the smallest and the largest, so it does not matter how often they are written.
CREATE TABLE IF NOT EXISTS first_seen_states
(
    tenant    LowCardinality(String),
    what      Enum8('tool' = 1, 'server' = 2, 'client' = 3, 'path' = 4, 'issuer' = 5),
    iss       LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    sub       String,
    object    Array(String) COMMENT 'tool: server id and name; server: id; client: id and name; path: from the subject to the actor, each as SUB@ISS; issuer: of the token presented',
    first     SimpleAggregateFunction(min, Tuple(time DateTime64(6, 'UTC'), event_id UUID)),
    last_time SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, iss, sub, what, object)
