-- Of each agent the privileges at eight servers, for which 500 events each were taken in.
INSERT INTO privilege_states
SELECT ['acme', 'globex', 'initech'][number % 3 + 1], 'https://idp.example', concat('agent-', toString(intDiv(number, 24))), concat('server-', toString(number % 8)), 'scope', concat('scope-', toString(number % 24)),
    ({until:DateTime64(3)}, 'agent', if(number % 5 = 0, '', 'alice')), 1,
    (toDateTime64({until:DateTime64(3)} - toIntervalHour(number % 3000), 6, 'UTC'), generateUUIDv4(number)), {until:DateTime64(3)} - toIntervalHour(number % 100),
    initializeAggregation('groupBitmapState', toUInt32(20000 + number % 60)), (toDateTime64(0, 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000')),
    if(number % 2 = 0, (toDateTime64({until:DateTime64(3)} - toIntervalHour(number % 2000), 6, 'UTC'), generateUUIDv4(number)), (toDateTime64('2299-01-01 00:00:00', 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000'))),
    if(number % 2 = 0, (toDateTime64({until:DateTime64(3)} - toIntervalHour(number % 50), 6, 'UTC'), generateUUIDv4(number)), (toDateTime64(0, 6, 'UTC'), toUUID('00000000-0000-0000-0000-000000000000'))),
    initializeAggregation('groupBitmapState', toUInt32(20000 + number % 60)), initializeAggregation('uniqCombined64State(12)', generateUUIDv4(number)),
    toDateTime64(0, 6, 'UTC'), if(number % 50 = 0, toDateTime64({until:DateTime64(3)}, 6, 'UTC'), toDateTime64(0, 6, 'UTC')),
    initializeAggregation('uniqCombined64State(12)', toString(number)), initializeAggregation('uniqCombined64MapState(12)', map(toUInt32(3600), toString(number))), {until:DateTime64(3)}
FROM numbers(intDiv({events:UInt64}, 500))
