package query_test

import (
	"testing"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// What a filter asks for is found as it is written, whatever is in it.
func TestAnyTextIsAValue(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t)
	names := []string{`a\tb`, "a\tb", `back\`, `\\`, "two\nlines", "it's", "{f0:String}", "ü", "%", `\N`}
	var records []*table.Record
	for n, name := range names {
		e := story.Named("deploy-call")
		e.Tool.Name, e.Source.EventID = name, name
		e.ID = event.NewID(e.Tenant, e.Source.ID, name, e.Time)
		records = append(records, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: int64(n)}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
	}
	c.Store(t, records...)
	r := reader(t, c, embedded.Analyst, "")
	for _, name := range names {
		f := filter(t, `"tool:`+name+`"`)
		page, err := r.Search(t.Context(), f, 10, "")
		if err != nil || len(page.Events) != 1 || page.Events[0].Tool.Name != name {
			t.Errorf("%q: %v, %v", name, page, err)
		}
	}
}
