-- By which addresses were servers called, by what is new? Written again it changes nothing.
INSERT INTO server_addresses (tenant, address, server_id)
SELECT DISTINCT tenant, toString(server_uri), server_id
FROM records
WHERE state = 'stored' AND stored_time >= {from:DateTime64(6, 'UTC')} AND stored_time < {to:DateTime64(6, 'UTC')}
    AND server_uri != '' AND server_id != '' AND server_uri != server_id
