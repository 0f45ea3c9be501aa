package detect_test

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// put stores a record at a position, in a state.
func (b *bench) put(partition int, state table.State, e *event.Event) {
	b.Helper()
	b.names[e.ID] = e.Source.EventID
	b.clickhouse.Store(b.TB, &table.Record{
		Position: table.Position{Topic: "custody.events", Epoch: "e", Partition: partition, Offset: b.offset}, LogTime: e.ObservedTime.Go(),
		State: state, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e,
	})
	b.offset++
}

// forgedOnly leaves out the rules that do not look for two records of an event.
func forgedOnly(c *detect.Config) {
	all, err := detect.Builtin()
	if err != nil {
		panic(err)
	}
	c.Rules = slices.DeleteFunc(all, func(r *detect.Rule) bool { return r.ID != "event_forged" && r.ID != "event_doubled" })
}

// named is a call with an id of its own; of the same name it has the same id. What
// it says differs by its error.
func named(name, says string) *event.Event {
	e := story.Named("deploy-call")
	e.Source.EventID, e.Tool.ErrorCode, e.Salt = name, says, event.NewSalt()
	e.ID = event.NewID(e.Tenant, e.Source.ID, name, e.Time)
	return e
}

// copied is one more record of an event.
type copied struct {
	partition int
	state     table.State
	says      string
	tenant    string // empty: the event's
}

// The same id with other content is found, whether the processor set it aside or
// stored both in two partitions, whichever comes last, and once; so is the same
// content where it is shown twice.
func TestForged(t *testing.T) {
	t.Parallel()
	b := newBench(t, forgedOnly)
	stored, aside := table.Stored, table.Conflict
	cases := []struct {
		name   string
		rounds [2][]copied
		want   []string // in the findings' summaries
	}{
		{"set aside", [2][]copied{{{0, stored, "", ""}, {0, aside, "1", ""}}}, []string{"it is in quarantine"}},
		{"set aside later", [2][]copied{{{0, stored, "", ""}}, {{1, aside, "1", ""}}}, []string{"it is in quarantine"}},
		{"both stored", [2][]copied{{{0, stored, "", ""}, {1, stored, "1", ""}}}, []string{"both are shown as events"}},
		{"both stored, one later", [2][]copied{{{0, stored, "", ""}}, {{1, stored, "1", ""}}}, []string{"both are shown as events"}},
		{"the same lie twice", [2][]copied{{{0, stored, "", ""}, {0, aside, "1", ""}}, {{0, aside, "1", ""}}}, []string{"it is in quarantine"}},
		{"two lies", [2][]copied{{{0, stored, "", ""}, {0, aside, "1", ""}, {1, stored, "2", ""}}}, []string{"both are shown as events", "it is in quarantine"}},
		{"another tenant's id", [2][]copied{{{0, stored, "", ""}, {0, aside, "1", neighbour}}}, []string{"the id of another tenant's"}},
		{"delivered again", [2][]copied{{{0, stored, "", ""}}, {{0, table.Duplicate, "", ""}}}, nil},
		{"stored twice with the same content", [2][]copied{{{0, stored, "", ""}, {1, stored, "", ""}}}, []string{"is shown 2 times"}},
		{"and once more later", [2][]copied{{{0, stored, "", ""}}, {{1, stored, "", ""}, {2, stored, "", ""}}}, []string{"is shown 3 times"}},
		{"twice, and a lie", [2][]copied{{{0, stored, "", ""}, {1, stored, "", ""}}, {{2, stored, "1", ""}}}, []string{"both are shown as events", "is shown 2 times"}},
	}
	for round := range 2 {
		for _, c := range cases {
			for _, x := range c.rounds[round] {
				e := named(c.name, x.says)
				e.Tenant = cmp.Or(x.tenant, e.Tenant)
				b.put(x.partition, x.state, e)
			}
		}
		b.once()
	}
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("judged again, it changes %+v", r)
	}
	said := map[string][]string{}
	for _, f := range b.findings(detect.Filter{}) {
		if want := map[string]string{"event_forged": "critical", "event_doubled": "medium"}; f.Severity != want[f.Rule] || f.Status != detect.Open || len(f.Evidence) != 1 {
			t.Errorf("finding %+v", f)
			continue
		}
		name := b.named(f.Evidence)[0]
		said[name] = append(said[name], f.Summary)
	}
	for _, c := range cases {
		got := said[c.name]
		slices.Sort(got)
		if !slices.EqualFunc(got, c.want, strings.Contains) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// The finding names both hashes and where both records lie; of another tenant's
// record it tells nothing.
func TestForgedNamesBoth(t *testing.T) {
	t.Parallel()
	b := newBench(t, forgedOnly)
	first, forged, alien := named("call", ""), named("call", "1"), named("call", "2")
	alien.Tenant = neighbour
	b.offset = 41
	b.put(3, table.Stored, first)
	b.put(5, table.Conflict, forged)
	b.put(5, table.Conflict, alien)
	b.once()
	sum := func(e *event.Event) string { h := e.ContentHash(); return hex.EncodeToString(h[:]) }
	want := fmt.Sprintf("first: content %s of %s in partition 3 at offset 41 of epoch e; then: content %s of %s in partition 5 at offset 42 of epoch e", sum(first), first.Source.ID, sum(forged), forged.Source.ID)
	list := b.findings(detect.Filter{Tenant: first.Tenant})
	if len(list) != 1 || list[0].CoverageNote != want {
		t.Errorf("%d findings; note %q, want %q", len(list), list[0].CoverageNote, want)
	}
	list = b.findings(detect.Filter{Tenant: neighbour})
	if len(list) != 1 || strings.Contains(list[0].CoverageNote, sum(first)) || strings.Contains(list[0].CoverageNote, "offset 41") || !strings.Contains(list[0].CoverageNote, sum(alien)) {
		t.Errorf("the other tenant's: %+v", list)
	}
}
