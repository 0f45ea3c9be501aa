-- Four reviews of each tenant.
INSERT INTO reviews
SELECT ['acme', 'globex', 'initech'][number % 3 + 1] AS tenant, reinterpretAsUUID(sipHash128(tenant, intDiv(number, 3))), {until:DateTime64(3)} - toIntervalDay(intDiv(number, 3) * 20),
    concat('{"name":"Review ', toString(number), '","unowned":[{"kind":"identity","name":"agent-1","lines":3}]}'), lower(hex(SHA256(toString(number)))), generateUUIDv4()
FROM numbers(12)
