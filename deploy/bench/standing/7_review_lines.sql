-- A line for every 2000 events, all reviews together.
INSERT INTO review_lines (tenant, review, number, body)
SELECT ['acme', 'globex', 'initech'][number % 3 + 1] AS tenant, reinterpretAsUUID(sipHash128(tenant, intDiv(number, 3) % 4)), number,
    concat('{"key":"', lower(hex(SHA256(toString(number)))), '","kind":"privilege","owner":"', if(number % 5 = 0, '', 'alice'), '","identity":"agent-', toString(number % 500),
        '","server":"server-', toString(number % 8), '","name":"scope scope-', toString(number % 24), '","state":"never_used","suggest":"revoke","summary":"nobody used it"}')
FROM numbers(intDiv({events:UInt64}, 2000))
