-- Are decisions being made?
-- Row: one action in one interval.
-- Units: acts per interval; of several about one line each counts.
-- Not covered: who made them: see "Decided".
-- Empty: Nobody decided about a line in this range.
SELECT
    toStartOfInterval(time, toIntervalSecond({interval:UInt32})) AS time,
    toString(action) AS action,
    uniqExact(id) AS acts
FROM review_acts
WHERE review_acts.time >= {from:DateTime64(3)} AND review_acts.time <= {to:DateTime64(3)}
  AND ({tenant:String} = '*' OR tenant = {tenant:String})
  AND ({review:String} = '*' OR toString(review) = {review:String})
GROUP BY time, action
ORDER BY time, action
