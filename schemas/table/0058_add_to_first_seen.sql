-- Whom the tokens that somebody presented or asked for are meant for.
ALTER TABLE first_seen_states MODIFY COLUMN what Enum8('tool' = 1, 'server' = 2, 'client' = 3, 'path' = 4, 'issuer' = 5, 'audience' = 6)
