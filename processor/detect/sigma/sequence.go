package sigma

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// sequence makes the query of a correlation: it follows the events of each group
// in the order of their time.
type sequence struct {
	b     *binder
	title string
	rules []base
	span  time.Duration
	count int // of events or values
}

// sql looks at all events of the groups that a new event belongs to, as far around
// it as the span. An event counts when it lies in a span that fulfils the
// condition, from the first event of that span on. One finding is one group.
func (s *sequence) sql(of string) string {
	key := "arrayStringConcat(k, ', ')"
	return fmt.Sprintf(`WITH
touched AS MATERIALIZED (
    SELECT DISTINCT tenant, toStartOfHour(time) AS hour, m.2 AS k
    FROM (
        SELECT tenant, time, %[1]s AS m
        FROM events
        WHERE %[2]s
            AND (%[3]s)
    )
),
hours AS MATERIALIZED (
    SELECT DISTINCT tenant, arrayJoin(arrayMap(h -> hour + toIntervalHour(h), range(-%[4]d, %[4]d + 1))) AS hour
    FROM (SELECT DISTINCT tenant, hour FROM touched)
),
hits AS (
    SELECT DISTINCT tenant, m.2 AS k, %[5]s AS r, m.4 AS v, us, hit
    FROM (
        SELECT tenant, %[1]s AS m, toUnixTimestamp64Micro(time) AS us,
            (time, toString(id), subject_sub, actor_sub, toString(server_id), toString(tool_name), token_ref, task_id, trace_id, toString(source_id)) AS hit
        FROM events
        WHERE (tenant, toStartOfHour(time)) IN (SELECT tenant, hour FROM hours) AND (%[3]s)
    )
    WHERE (tenant, k) IN (SELECT tenant, k FROM touched)
),
%[6]s,
opened AS (
    SELECT *, maxIf(us, begins) OVER (PARTITION BY tenant, k ORDER BY us RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS since
    FROM begun
)
SELECT
    tenant,
    k AS subject_key,
    true AS violated,
    concat(%[7]s, if(empty(k), '', concat(': ', %[8]s)), ', ', toString(uniqExact(hit.2)), if(uniqExact(hit.2) = 1, ' event', ' events')) AS summary,
    argMin(hit.3, hit) AS subject_sub,
    argMin(hit.4, hit) AS actor_sub,
    argMin(hit.5, hit) AS server_id,
    argMin(hit.6, hit) AS tool_name,
    argMin(hit.7, hit) AS token_ref,
    argMin(hit.8, hit) AS task_id,
    argMin(hit.9, hit) AS trace_id,
    arrayMap(x -> toUUID(x.2), arraySlice(arraySort(groupUniqArray(hit)), 1, 100)) AS evidence,
    min(hit.1) AS first_seen,
    max(hit.1) AS last_seen,
    'recorded' AS coverage,
    'each event is on record' AS coverage_note,
    arraySort(groupUniqArray(10)(hit.10)) AS coverage_sources
FROM opened
WHERE since > 0 AND us - since <= %[9]d
GROUP BY tenant, k`, s.matches(), window, s.any(), int(math.Ceil(s.span.Hours())), s.rule(of), s.begun(of), s.b.text(s.title), key, s.span.Microseconds())
}

// any is that a rule matches.
func (s *sequence) any() string {
	var tests []string
	for _, r := range s.rules {
		tests = append(tests, r.where)
	}
	return join(tests, false)
}

// matches gives a row for each rule that the event matches: the rule's number,
// the group, that it matches, and the value that is counted.
func (s *sequence) matches() string {
	var all []string
	for i, r := range s.rules {
		key := "emptyArrayString()"
		if len(r.key) > 0 {
			key = "[" + strings.Join(r.key, ", ") + "]"
		}
		all = append(all, fmt.Sprintf("(toUInt8(%d), %s, toUInt8(%s), %s)", i+1, key, r.where, r.value))
	}
	return "arrayJoin(arrayFilter(x -> x.3, [" + strings.Join(all, ", ") + "]))"
}

// rule is the number of the rule that matched; where events are counted an event
// is one, whichever rules it matches.
func (s *sequence) rule(of string) string {
	if of == eventCount || of == valueCount {
		return "toUInt8(0)"
	}
	return "m.1"
}

// begun marks the events from which on a span fulfils the condition.
func (s *sequence) begun(of string) string {
	switch of {
	case eventCount:
		return fmt.Sprintf(`last AS (
    SELECT *, leadInFrame(us, %d) OVER (PARTITION BY tenant, k ORDER BY us, hit ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS until
    FROM hits
),
begun AS (SELECT *, until > 0 AND until - us <= %d AS begins FROM last)`, s.count-1, s.span.Microseconds())
	case valueCount:
		return fmt.Sprintf(`begun AS (
    SELECT *, uniqExactIf(v, v != '') OVER (PARTITION BY tenant, k ORDER BY us RANGE BETWEEN CURRENT ROW AND %d FOLLOWING) >= %d AS begins
    FROM hits
)`, s.span.Microseconds(), s.count)
	case temporal:
		return s.together()
	}
	return s.ordered()
}

// together finds for each rule when it next matches.
func (s *sequence) together() string {
	var next, all []string
	for i := range s.rules {
		next = append(next, fmt.Sprintf("minIf(us, r = %d) OVER (PARTITION BY tenant, k ORDER BY -us RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n%d", i+1, i+1))
		all = append(all, fmt.Sprintf("n%d > 0 AND n%d - us <= %d", i+1, i+1, s.span.Microseconds()))
	}
	return fmt.Sprintf("next AS (\n    SELECT *, %s\n    FROM hits\n),\nbegun AS (SELECT *, %s AS begins FROM next)", strings.Join(next, ",\n        "), strings.Join(all, " AND "))
}

// ordered finds for each event when the rest of the order is soonest complete,
// from the last rule back. What happened at the same time has no order.
func (s *sequence) ordered() string {
	last := len(s.rules)
	steps := []string{fmt.Sprintf("step%d AS (SELECT *, if(r = %d, us, 0) AS done FROM hits)", last, last)}
	for n := last - 1; n > 0; n-- {
		steps = append(steps, fmt.Sprintf(`step%[1]d AS (
    SELECT * EXCEPT (done, soonest), if(r = %[1]d, soonest, 0) AS done
    FROM (
        SELECT *, minIf(done, done > 0) OVER (PARTITION BY tenant, k ORDER BY -us RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS soonest
        FROM step%[2]d
    )
)`, n, n+1))
	}
	return strings.Join(steps, ",\n") + fmt.Sprintf(",\nbegun AS (SELECT *, done > 0 AND done - us <= %d AS begins FROM step1)", s.span.Microseconds())
}
