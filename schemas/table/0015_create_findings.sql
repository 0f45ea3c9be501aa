-- One row is one finding in its newest state.
CREATE VIEW IF NOT EXISTS findings AS
SELECT * FROM finding_states FINAL
