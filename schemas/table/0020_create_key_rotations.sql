-- One row is one change of the key that signs checkpoints, signed by the old key and the new.
CREATE TABLE IF NOT EXISTS key_rotations
(
    log     String,
    old_key String COMMENT 'verifier key as in c2sp.org/signed-note',
    new_key String,
    time    DateTime64(3, 'UTC'),
    note    String
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (log, old_key, new_key)
