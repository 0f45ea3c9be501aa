-- One row is one event: what a source said once. Records that no event could be made of, and re-deliveries, are in records only.
CREATE VIEW IF NOT EXISTS events AS
SELECT * EXCEPT (state, problem) FROM records WHERE state = 'stored'
