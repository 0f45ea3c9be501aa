-- When the first call with the token was stored, carried out or not: what is newer than it has seen all its calls. Where no call was
-- carried out, first is of the year 2299 and without an event.
ALTER TABLE token_calls ADD COLUMN IF NOT EXISTS first_stored SimpleAggregateFunction(min, DateTime64(6, 'UTC'))
