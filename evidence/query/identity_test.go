package query_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/story"
)

// What is said of identities and servers is the same by hour, and with the days of
// storing that are over added up.
func TestIdentitiesByDay(t *testing.T) {
	t.Parallel()
	events := story.Events()
	half := len(events) / 2
	c := embeddedtest.StartClickHouse(t, tenants...)
	admin := c.Conn(embedded.Admin)
	do := func(sql string) {
		t.Helper()
		if err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	put(t, c, events[:half]...)
	do("ALTER TABLE records UPDATE stored_time = stored_time - INTERVAL 50 HOUR WHERE 1 SETTINGS mutations_sync = 1")
	put(t, c, events[half:]...)
	now := time.Now().UTC()
	take := func() {
		t.Helper()
		if err := enrich.Activity(c.Conn(embedded.Detector)).Take(t.Context(), now.Add(-60*time.Hour), now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	since := events[0].Time.Go()
	said := func() (all []any) {
		t.Helper()
		r := reader(t, c, embedded.Analyst, "")
		keep := func(answer any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, answer)
		}
		f := query.IdentityFilter{Since: since, Unused: query.PrivilegeFilter{Now: now}}
		keep(r.Identities(t.Context(), f, 1000))
		keep(r.Servers(t.Context(), "", since, 1000))
		keep(r.Callers(t.Context(), "github-mcp", since, 1000))
		f.Sub = "planner"
		keep(r.Identities(t.Context(), f, 1000))
		keep(r.Days(t.Context(), f))
		return all
	}
	take()
	do("TRUNCATE TABLE activity_days")
	do("TRUNCATE TABLE pass_progress")
	want := said()
	take()
	var days uint64
	if err := admin.QueryRow(t.Context(), "SELECT sum(events) FROM activity_days").Scan(&days); err != nil || days == 0 {
		t.Fatalf("%d events are added up by day (%v)", days, err)
	}
	if diff := cmp.Diff(want, said()); diff != "" {
		t.Errorf("(-by hour +by day):\n%s", diff)
	}
	if found := want[0].([]*query.Identity); len(found) < 5 || found[0].Events == 0 {
		t.Errorf("%d identities: %+v", len(found), found[0])
	}
}
