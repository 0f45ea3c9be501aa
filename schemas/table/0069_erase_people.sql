-- A person is erased by an act too. It names her by a digest, since it stays for ever.
ALTER TABLE retention_acts
    MODIFY COLUMN action Enum8('set' = 1, 'held' = 2, 'released' = 3, 'erased' = 4)
        COMMENT 'set: how long records are kept; held: they are not deleted, whatever is set; erased: those that name a person are deleted',
    ADD COLUMN IF NOT EXISTS person String COMMENT 'of erased: SALT:HASH in hexadecimal digits, SHA-256 over the salt''s digits and the subject' AFTER to_time
