package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// A page looks as far back as it must: whatever lies between the events, and however many
// a page has, all of them come once, the newest first.
func TestSearchFarBack(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t)
	now := time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)
	const h, d = time.Hour, 24 * time.Hour
	ages := []time.Duration{-400 * d, -h, 0, time.Millisecond, time.Minute, h - 1, h, h + 1, 3 * h, d, d + 1, 5 * d, 5*d + 1, 6 * d, 100 * d, 364 * d, 365 * d, 366 * d, 1000 * d}
	var all []*event.Event
	var records []*table.Record
	for i, age := range slices.Backward(ages) {
		e := story.Named("refund-call")
		e.Source.EventID, e.Time = fmt.Sprint(age), event.TimeOf(now.Add(-age))
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		all = append(all, e)
		records = append(records, &table.Record{Position: table.Position{Topic: "t", Epoch: "e", Offset: int64(i)}, LogTime: now, State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
	}
	c.Store(t, records...)
	slices.SortFunc(all, func(a, b *event.Event) int { return strings.Compare(b.ID, a.ID) })
	r := reader(t, c, embedded.Analyst, "")
	for _, filter := range []string{"", "last:7d", "before:2026-10-04T00:00:00Z", "after:2026-09-30T00:00:00Z before:2026-10-05T11:00:00Z", "before:2030-01-01T00:00:00Z"} {
		f, err := query.ParseFilter(filter, now)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, e := range all {
			at := e.Time.Go()
			bound := func(name string) (time.Time, bool) {
				_, rest, found := strings.Cut(filter, name+":")
				to, _, _ := strings.Cut(rest, " ")
				when, _ := time.Parse(time.RFC3339, to)
				return when, found
			}
			after, bounded := bound("after")
			before, ends := bound("before")
			if bounded && at.Before(after) || ends && !at.Before(before) || filter == "last:7d" && at.Before(now.Add(-7*d)) {
				continue
			}
			want = append(want, e.Source.EventID)
		}
		for _, limit := range []int{1, 2, 3, 7, 100} {
			var got []string
			for after := ""; ; {
				page, err := r.Search(t.Context(), f, limit, after)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Events {
					got = append(got, e.Source.EventID)
				}
				if after = page.Next; after == "" {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q in pages of %d (-want +got):\n%s", filter, limit, diff)
			}
		}
	}
}
