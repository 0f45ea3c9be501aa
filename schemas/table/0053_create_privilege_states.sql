-- One row is what somebody was granted, or used, at a server, in a part of what was stored; the view privileges puts them together.
-- Smallest, largest, bits and distinct values may be written twice. A grant is kept when it has gone again.
CREATE TABLE IF NOT EXISTS privilege_states
(
    tenant        LowCardinality(String),
    iss           LowCardinality(String) COMMENT 'with sub: who acted; the subject where there is no actor',
    sub           String,
    server        LowCardinality(String) COMMENT 'id, or the audience that a token was issued for; empty: not said',
    kind          Enum8('scope' = 1, 'tool' = 2),
    name          String COMMENT 'of the scope or tool',
    holder        SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), type String, owner String)),
    how           SimpleAggregateFunction(groupBitOr, UInt8) COMMENT '1 token presented, 2 exchange, 4 decision, 8 grant reported, 16 tool offered, 32 credential; 0: use only',
    granted_first SimpleAggregateFunction(min, Tuple(time DateTime64(6, 'UTC'), event_id UUID)) COMMENT 'of the year 2299: no grant was seen',
    granted_last  SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    granted_days  AggregateFunction(groupBitmap, UInt32) COMMENT 'days since 1970 on which it was granted or shown',
    removed_last  SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), event_id UUID)),
    used_first    SimpleAggregateFunction(min, Tuple(time DateTime64(6, 'UTC'), event_id UUID)) COMMENT 'of the year 2299: never',
    used_last     SimpleAggregateFunction(max, Tuple(time DateTime64(6, 'UTC'), event_id UUID)),
    used_days     AggregateFunction(groupBitmap, UInt32) COMMENT 'days since 1970 with a use',
    uses          AggregateFunction(uniqCombined64(12), UUID) COMMENT 'events; some 2 % off above a few thousand',
    maybe_last    SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'last call with it of a tool whose needs nobody registered',
    static_last   SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'last time that a static credential had it',
    tokens        AggregateFunction(uniqCombined64(12), String) COMMENT 'references of tokens that had it',
    lifetimes     AggregateFunction(uniqCombined64Map(12), Map(UInt32, String)) COMMENT 'the same by lifetime in seconds, to two digits and upwards',
    taken_time    SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when a pass wrote of it last: whoever judges what is new looks at those rows'
)
ENGINE = AggregatingMergeTree
ORDER BY (tenant, iss, sub, server, kind, name)
SETTINGS index_granularity = 512
