-- One row is one token that was issued by an exchange, exchanged, or issued to somebody who logged in.
CREATE VIEW IF NOT EXISTS token_lineage AS
SELECT
    * EXCEPT (version),
    multiIf(
        state = 'cycle', 'its exchanges lead back to itself',
        state = 'too_deep', 'more than 50 exchanges',
        state = 'complete', '',
        root_basis = 'delegated', 'the exchange that issued the root was not seen yet',
        'no event says yet how the root was issued') AS missing
FROM token_lineage_states FINAL
