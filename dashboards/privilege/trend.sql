-- Does privilege grow, and how much of it was never used?
-- Row: the end of one interval.
-- Units: privileges that were granted by then and not removed, and those of them that nobody had used by then.
-- Not covered: what went without anybody reporting its removal still counts; a privilege that came back counts from its first day; a grant of which nobody told counts from the first event that shows it.
-- Empty: No privilege was granted by the end of this range.
WITH
    privileges_here AS
    (
        SELECT granted_first AS granted, if(removed > granted_first, removed, NULL) AS gone, if(used_first > toDateTime64(0, 6, 'UTC'), greatest(used_first, granted_first), NULL) AS used
        FROM privileges
        WHERE granted_first > toDateTime64(0, 6, 'UTC') AND granted_first <= {to:DateTime64(3)}
          AND ({tenant:String} = '*' OR tenant = {tenant:String})
          AND ({server:String} = '*' OR server_id = {server:String})
          AND ({agent:String} = '*' OR sub = {agent:String})
    ),
    changes AS
    (
        SELECT arrayJoin([(granted, 1, 1), (gone, -1, 0), (least(ifNull(gone, used), ifNull(used, gone)), 0, -1)]) AS change
        FROM privileges_here
    )
SELECT
    time,
    sum(more) OVER (ORDER BY time) AS standing,
    sum(idle) OVER (ORDER BY time) AS never_used
FROM
(
    SELECT
        toStartOfInterval(greatest(assumeNotNull(change.1), toDateTime64({from:DateTime64(3)}, 6, 'UTC')), toIntervalSecond({interval:UInt32})) AS time,
        sum(toInt64(change.2)) AS more,
        sum(toInt64(change.3)) AS idle
    FROM changes
    WHERE change.1 IS NOT NULL AND change.1 <= {to:DateTime64(3)}
    GROUP BY time
)
ORDER BY time
