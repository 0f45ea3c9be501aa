-- A checkpoint for every 500 events.
INSERT INTO checkpoints
SELECT 'custody.events', 'base', 0, 0, number * 100, '', 2, {until:DateTime64(3)} - toIntervalMinute(number), ''
FROM numbers(intDiv({events:UInt64}, 500))
