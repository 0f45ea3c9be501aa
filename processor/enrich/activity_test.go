package enrich_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/story"
)

// What activity_hourly counts is what counting all events says, in whatever order
// and however often they were taken in, also when an engine was killed in the
// middle of a minute and another began anew.
func TestActivity(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	events := story.Events()
	rng := rand.New(rand.NewPCG(6, 6))
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	e := b.engine()
	for part := range slices.Chunk(events, 5) {
		b.store(part...)
		b.once(e)
		if rng.IntN(3) == 0 {
			e = b.engine()
		}
	}
	const line = "concat(tenant, ' ', iss, ' ', sub, ' ', toString(hour), ' ', type, ' ', server_id, ' ', tool_name, ' ', outcome, ' ', toString(events), ' ', toString(first_event), ' ', toString(last_time)) AS line"
	want := b.lines(`SELECT concat(tenant, ' ', iss, ' ', sub, ' ', toString(hour), ' ', type, ' ', server_id, ' ', tool_name, ' ', said, ' ', toString(events), ' ', toString(first_event), ' ', toString(last_at)) AS line FROM (
		SELECT tenant, if(actor_sub = '', subject_iss, actor_iss) AS iss, if(actor_sub = '', subject_sub, actor_sub) AS sub, toStartOfHour(time) AS hour, type, server_id, tool_name,
			if(kind = 'permission_decision', decision_effect, outcome) AS said, count() AS events, min((time, id)) AS first_event, max(time) AS last_at
		FROM events WHERE actor_sub != '' OR subject_sub != '' GROUP BY tenant, iss, sub, hour, type, server_id, tool_name, said
	) ORDER BY line`)
	got := b.lines("SELECT " + line + " FROM activity_hourly ORDER BY line")
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-counted +kept):\n%s", diff)
	}
	const calls = "concat(tenant, ' ', iss, ' ', sub, ' ', formatDateTime(hour, '%F %W %H'), ' ', server_id, ' ', tool_name, ' ', outcome, ' ', toString(events)) AS line"
	want = b.lines("SELECT " + calls + " FROM activity_hourly WHERE type = 'mcp.tools.call' ORDER BY line")
	kept := b.lines("SELECT " + calls + " FROM (SELECT tenant, iss, sub, hour, server_id, tool_name, outcome, sum(arraySum(mapValues(minutes))) AS events FROM rhythm_states FINAL WHERE week_hour = 24 * (toDayOfWeek(hour) - 1) + toHour(hour) GROUP BY ALL) ORDER BY line")
	if diff := gocmp.Diff(want, kept); diff != "" || len(kept) == 0 {
		t.Errorf("of %d calls (-by hour +by hour of the week):\n%s", len(want), diff)
	}
	// Once the day of storing is over the days say the same, also when they were added up twice.
	for range 2 {
		over := time.Now().UTC().Truncate(24 * time.Hour).Add(24*time.Hour + enrich.Visible)
		if err := enrich.Activity(b.conn).Take(t.Context(), over, over); err != nil {
			t.Fatal(err)
		}
		if err := b.clickhouse.Conn(embedded.Admin).Exec(t.Context(), "TRUNCATE TABLE pass_progress"); err != nil {
			t.Fatal(err)
		}
	}
	const days = "concat(tenant, ' ', iss, ' ', sub, ' ', toString(day), ' ', type, ' ', server_id, ' ', tool_name, ' ', outcome, ' ', toString(n), ' ', toString(first), ' ', toString(last)) AS line"
	want = b.lines("SELECT " + days + " FROM (SELECT tenant, iss, sub, toDate(hour) AS day, type, server_id, tool_name, outcome, sum(events) AS n, min(first_event.1) AS first, max(last_time) AS last FROM activity_hourly GROUP BY ALL) ORDER BY line")
	kept = b.lines("SELECT " + days + " FROM (SELECT tenant, iss, sub, day, type, server_id, tool_name, outcome, sum(events) AS n, min(first_time) AS first, max(last_time) AS last FROM activity_days FINAL GROUP BY ALL) ORDER BY line")
	if diff := gocmp.Diff(want, kept); diff != "" {
		t.Errorf("(-by hour +by day):\n%s", diff)
	}
	if len(got) < 20 {
		t.Errorf("%d rows for %d events", len(got), len(events))
	}
}
