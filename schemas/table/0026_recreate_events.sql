-- One row is one event: what a source said once, with the facts. A view keeps the columns of when it was made, so it is made anew.
CREATE OR REPLACE VIEW events AS
SELECT * EXCEPT (state, problem) FROM records WHERE state = 'stored'
