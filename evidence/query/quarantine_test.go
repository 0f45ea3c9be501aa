package query_test

import (
	"encoding/hex"
	"errors"
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

func quarantineRecord(partition int, offset int64, state table.State, e *event.Event) *table.Record {
	return &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Partition: partition, Offset: offset}, LogTime: e.ObservedTime.Go(),
		State: state, Raw: e.Canonical(), ContentHash: e.ContentHash(), LeafHash: [32]byte{byte(offset)}, Event: e}
}

// What is in quarantine is told with what came first, and is no event; a tenant
// sees its own, and nothing of the record that another tenant had first.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t, tenants...)
	first := story.Named("deploy-call")
	forged := story.Named("deploy-call")
	forged.Outcome, forged.Tool.DurationMS, forged.Salt = event.Denied, 0, event.NewSalt()
	forged.Subject.Name = "somebody else"
	alien := story.Named("deploy-call")
	alien.Tenant = "globex"
	c.Store(t, quarantineRecord(1, 7, table.Stored, first))
	c.Store(t, quarantineRecord(0, 9, table.Conflict, forged), quarantineRecord(0, 10, table.Conflict, alien))

	all := reader(t, c, embedded.Analyst, "")
	list, err := all.Quarantine(t.Context(), time.Time{}, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d in quarantine, %v", len(list), err)
	}
	sum := func(h [32]byte) string { return hex.EncodeToString(h[:]) }
	for _, as := range []struct {
		what string
		r    *query.Reader
	}{{"the analyst of one tenant", reader(t, c, embedded.Analyst, "acme")}, {"its auditor", reader(t, c, table.Auditor("acme"), "")}} {
		list, err := as.r.QuarantineOf(t.Context(), first.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %d in quarantine, %v", as.what, len(list), err)
		}
		q := list[0]
		if q.Record.ContentHash != sum(forged.ContentHash()) || q.Record.Partition != 0 || q.Record.Offset != 9 || q.Record.LeafHash != sum([32]byte{9}) || q.Record.Source != "acme-github" && q.Record.Source == "" {
			t.Errorf("%s: record %+v", as.what, q.Record)
		}
		if q.First == nil || q.First.ContentHash != sum(first.ContentHash()) || q.First.Partition != 1 || q.First.Offset != 7 || q.First.LeafHash != sum([32]byte{7}) {
			t.Errorf("%s: first %+v", as.what, q.First)
		}
		if len(q.Differences) < 2 {
			t.Errorf("%s: differences %+v", as.what, q.Differences)
		}
		for _, d := range q.Differences {
			if d.Field == "salt" || d.Field == "observed_time" || d.First == d.Then {
				t.Errorf("%s: difference %+v", as.what, d)
			}
		}
		if want := (query.Difference{Field: "outcome", First: `"success"`, Then: `"denied"`}); !cmp.Equal(q.Differences[0], want) {
			t.Errorf("%s: first difference %+v, want %+v", as.what, q.Differences[0], want)
		}
	}
	theirs := reader(t, c, table.Auditor("globex"), "")
	list, err = theirs.QuarantineOf(t.Context(), first.ID)
	if err != nil || len(list) != 1 || list[0].Tenant != "globex" || list[0].First != nil || list[0].Differences != nil {
		t.Errorf("the other tenant sees %+v, %v", list, err)
	}
	if list, err := all.Quarantine(t.Context(), time.Now().Add(time.Hour), 10); err != nil || len(list) != 0 {
		t.Errorf("since later: %v, %v", list, err)
	}
	if _, err := all.QuarantineOf(t.Context(), story.Events()[0].ID); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("an id that is not there: %v", err)
	}
	if _, err := all.QuarantineOf(t.Context(), "deploy-call"); err == nil || errors.Is(err, query.ErrNotFound) {
		t.Errorf("no id: %v", err)
	}
	if page, err := all.Search(t.Context(), filter(t, "last:3650d"), 10, ""); err != nil || len(page.Events) != 1 || page.Events[0].Outcome != first.Outcome {
		t.Errorf("events are %v, %v", page, err)
	}
}
