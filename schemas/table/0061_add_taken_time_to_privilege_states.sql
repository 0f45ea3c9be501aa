-- When the pass wrote of somebody's privilege last: whoever judges what is new looks at those rows.
ALTER TABLE privilege_states ADD COLUMN IF NOT EXISTS taken_time SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'when a pass wrote of it last'
