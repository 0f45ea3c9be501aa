package query_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// What was counted by hour and added up by day comes to the same radius as the events
// themselves, for everybody and any window, however much of it is settled.
func TestRadiusByHour(t *testing.T) {
	t.Parallel()
	events := story.Events()
	half := len(events) / 2
	c := embeddedtest.StartClickHouse(t, tenants...)
	put(t, c, events[:half]...)
	admin := c.Conn(embedded.Admin)
	do := func(sql string, args ...any) {
		t.Helper()
		if err := admin.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	do("ALTER TABLE records UPDATE stored_time = stored_time - INTERVAL 50 HOUR WHERE 1 SETTINGS mutations_sync = 1")
	put(t, c, events[half:]...)
	do("ALTER TABLE records UPDATE stored_time = stored_time - INTERVAL 6 MINUTE WHERE stored_time > now() - INTERVAL 1 HOUR SETTINGS mutations_sync = 1")

	type who struct {
		tenant, start string
		from, to      time.Time
	}
	var asked []who
	subs := map[string]bool{}
	for _, e := range events {
		parties := []event.Party{e.Subject, e.Actor}
		for _, link := range e.Chain {
			parties = append(parties, event.Party{Iss: link.Iss, Sub: link.Sub})
		}
		for _, p := range parties {
			if start := "principal:" + p.Sub; p.Sub != "" {
				subs[e.Tenant+" "+start] = true
				for _, w := range [][2]time.Time{{at("00:00:00"), at("23:00:00")}, {at("09:10:00"), at("23:00:00")}, {at("08:30:00"), at("09:16:30")}, {at("09:05:00"), at("09:20:00")},
					{at("09:05:00").AddDate(0, 0, -1), at("09:20:00").AddDate(0, 0, 1)}, {at("00:00:00"), at("00:00:00").AddDate(0, 0, 1)}} {
					asked = append(asked, who{e.Tenant, start, w[0], w[1]})
					if p.Iss != "" {
						asked = append(asked, who{e.Tenant, start + "@" + p.Iss, w[0], w[1]})
					}
				}
			}
		}
	}
	if len(subs) < 5 {
		t.Fatalf("the story names %d principals", len(subs))
	}
	ask := func(w who) any {
		b, err := reader(t, c, embedded.Analyst, w.tenant).BlastRadius(t.Context(), w.start, query.ChainOptions{From: w.from, To: w.to})
		if err != nil {
			return err.Error()
		}
		return b
	}
	want := map[who]any{}
	for _, w := range asked {
		if want[w] == nil {
			want[w] = ask(w)
		}
	}
	e, err := enrich.NewEngine(enrich.EngineConfig{ClickHouse: c.Conn(embedded.Detector), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	pass := enrich.Reach(c.Conn(embedded.Detector)) // knows nothing of what the engine took in
	var rows [2]uint64
	for round := range rows {
		if err := pass.Take(t.Context(), time.Now().Add(-15*time.Minute), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := admin.QueryRow(t.Context(), "SELECT count() FROM reach_states").Scan(&rows[round]); err != nil {
			t.Fatal(err)
		}
	}
	if rows[0] == 0 || rows[1] > rows[0] { // merges make them fewer
		t.Errorf("%d rows, and %d after the second round: counted again", rows[0], rows[1])
	}
	var days, added uint64
	if err := admin.QueryRow(t.Context(), "SELECT count(), sum(events) FROM reach_days").Scan(&days, &added); err != nil || days == 0 || added == 0 {
		t.Fatalf("%d rows by day of %d events: %v", days, added, err)
	}
	counted := 0
	for _, ahead := range []time.Duration{-60 * time.Hour, -time.Hour, 0} { // nothing, the first half, everything is settled
		do("ALTER TABLE pass_progress DELETE WHERE pass = 'reach' SETTINGS mutations_sync = 1")
		do("INSERT INTO pass_progress VALUES ('reach', now64(6) + toIntervalSecond(?), now64(6))", int64(ahead.Seconds()))
		for w, want := range want {
			counted++
			if diff := cmp.Diff(want, ask(w)); diff != "" {
				t.Errorf("%s of %s, %s to %s, settled %s: (-of the events +by hour)\n%s", w.start, w.tenant, w.from.Format(time.TimeOnly), w.to.Format(time.TimeOnly), ahead, diff)
			}
		}
	}
	if counted < 60 {
		t.Errorf("only %d radii were compared", counted)
	}
}
