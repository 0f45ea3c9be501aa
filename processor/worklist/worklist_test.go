package worklist_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// bench is a real ClickHouse with the story, an engine that judges it, and the
// users who read and who write down what is done.
type bench struct {
	testing.TB
	clickhouse *embeddedtest.ClickHouse
	engine     *detect.Engine
	reader     driver.Conn
	writer     driver.Conn
	offset     int64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	c := embeddedtest.StartClickHouse(t, "acme", "globex", "initech")
	engine, err := detect.New(detect.Config{ClickHouse: c.Conn(embedded.Detector), Sessions: c.Sessions(embedded.Detector), Visible: time.Nanosecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &bench{TB: t, clickhouse: c, engine: engine, reader: c.Conn(embedded.Analyst), writer: c.Conn(embedded.Handler)}
}

// found stores events and judges them.
func (b *bench) found(events ...*event.Event) {
	b.Helper()
	var records []*table.Record
	for _, e := range events {
		records = append(records, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: b.offset}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
		b.offset++
	}
	b.clickhouse.Store(b.TB, records...)
	b.judge()
}

func (b *bench) judge() {
	b.Helper()
	if _, err := b.engine.Once(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) list(f worklist.Filter) []*worklist.Finding {
	b.Helper()
	list, err := worklist.List(b.Context(), b.reader, f)
	if err != nil {
		b.Fatal(err)
	}
	return list
}

func (b *bench) find(key string) *worklist.Finding {
	b.Helper()
	f, err := worklist.Find(b.Context(), b.reader, "", key)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// does lets somebody act, on the finding as it is or as it was seen.
func (b *bench) does(f *worklist.Finding, a worklist.Act) *worklist.Finding {
	b.Helper()
	if a.ID == uuid.Nil {
		a.ID = uuid.New()
	}
	if a.Time.IsZero() {
		a.Time = b.now()
	}
	a.ActorSub = "bob"
	if err := a.Check(f); err != nil {
		b.Fatal(err)
	}
	if err := worklist.Append(b.Context(), b.writer, f, &a); err != nil {
		b.Fatal(err)
	}
	return b.find(f.Key)
}

// now is the present of ClickHouse's clock, as findings have it.
func (b *bench) now() (now time.Time) {
	b.Helper()
	if err := b.reader.QueryRow(b.Context(), "SELECT now64(6, 'UTC')").Scan(&now); err != nil {
		b.Fatal(err)
	}
	return now
}

func (b *bench) history(f *worklist.Finding) (out []string) {
	b.Helper()
	entries, err := worklist.History(b.Context(), b.reader, f.Tenant, f.Key)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, strings.TrimSpace(e.Action+" "+e.ActorSub))
	}
	return out
}

// once is an event of the story as another one, that much later.
func once(name string, later time.Duration) *event.Event {
	e := story.Named(name)
	e.Source.EventID, e.Time = fmt.Sprintf("%s after %s", name, later), e.Time.Add(later)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// A finding goes through what people do, and each step stands in its history.
func TestLifeCycle(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.found(story.Events()...)
	open := b.list(worklist.Filter{})
	if len(open) == 0 || open[0].Status != worklist.Open || open[0].Revision == "" || !open[0].HandledTime.IsZero() || open[0].Identity == "" || open[0].Chain == "" {
		t.Fatalf("%d findings, the first %+v", len(open), open)
	}
	f := open[0]
	revisions := []string{f.Revision}
	for _, step := range []struct {
		act    worklist.Act
		status string
	}{
		{worklist.Act{Action: worklist.Acknowledge}, worklist.Acknowledged},
		{worklist.Act{Action: worklist.Assign, Assignee: "carol"}, worklist.Assigned},
		{worklist.Act{Action: worklist.Comment, Comment: "asked the owner"}, worklist.Assigned},
		{worklist.Act{Action: worklist.Resolve, Comment: "revoked"}, worklist.Resolved},
		{worklist.Act{Action: worklist.Reopen, Comment: "was not"}, worklist.Open},
		{worklist.Act{Action: worklist.Except, Comment: "until it is replaced", Until: b.now().Add(time.Hour)}, worklist.Excepted},
		{worklist.Act{Action: worklist.Resolve, Comment: "replaced"}, worklist.Resolved},
	} {
		was := f
		f = b.does(f, step.act)
		if f.Status != step.status || slices.Contains(revisions, f.Revision) {
			t.Fatalf("after %s: %s, want %s; revision %s, before %v", step.act.Action, f.Status, step.status, f.Revision, revisions)
		}
		if step.act.Action == worklist.Assign && (f.Assignee != "carol" || f.HandledBy != "bob") {
			t.Errorf("assigned: %+v", f)
		}
		if step.act.Action == worklist.Comment && !f.HandledTime.Equal(was.HandledTime) {
			t.Errorf("a comment handles: %+v", f)
		}
		revisions = append(revisions, f.Revision)
	}
	want := []string{"opened", "acknowledged bob", "assigned bob", "commented bob", "resolved bob", "reopened bob", "excepted bob", "resolved bob"}
	if diff := cmp.Diff(want, b.history(f)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if n := len(b.list(worklist.Filter{})); n != len(open)-1 {
		t.Errorf("%d are active, want %d", n, len(open)-1)
	}
	if got := b.list(worklist.Filter{Status: worklist.Resolved, Assignee: "carol", Identity: f.Identity, Chain: f.Chain, Rule: f.Rule, Tenant: f.Tenant}); len(got) != 1 || got[0].Key != f.Key {
		t.Errorf("looked for, by all that it has: %+v", got)
	}
	for _, none := range []worklist.Filter{{Status: worklist.Resolved, Assignee: "bob"}, {Status: worklist.Resolved, Identity: "nobody"}, {Status: worklist.Resolved, Chain: "x"}, {Status: worklist.AutoResolved}} {
		if got := b.list(none); len(got) != 0 {
			t.Errorf("%+v finds %d", none, len(got))
		}
	}
}

// What is resolved is open again when it rests on more than was seen, also when
// that came while somebody resolved it; what is excepted is not.
func TestMoreIsFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.found(story.Events()...)
	of := func(rule string) *worklist.Finding {
		t.Helper()
		list := b.list(worklist.Filter{Rule: rule, Status: worklist.All})
		if len(list) == 0 {
			t.Fatalf("no finding of %s", rule)
		}
		return list[0]
	}
	seen := of("static_credential")
	call := ""
	for _, e := range story.Events() {
		if e.Token.Ref == seen.TokenRef && e.Kind == event.ToolInvocation && e.Tenant == seen.Tenant {
			call = e.Source.EventID
		}
	}
	f := b.does(seen, worklist.Act{Action: worklist.Resolve, Comment: "replaced"})
	b.judge()
	if f = b.find(f.Key); f.Status != worklist.Resolved {
		t.Fatalf("nothing was found: %s", f.Status)
	}
	b.found(once(call, time.Minute))
	if f = b.find(f.Key); f.Status != worklist.Open || f.Reason != "replaced" {
		t.Fatalf("one more call: %s, handled with %q", f.Status, f.Reason)
	}
	b.does(f, worklist.Act{Action: worklist.Resolve, Comment: "now"})
	b.found(once(call, 30*time.Second)) // earlier than the last, and not seen before
	if f = b.find(f.Key); f.Status != worklist.Open {
		t.Errorf("an earlier call that came late: %s", f.Status)
	}
	late := f
	b.found(once(call, 2*time.Minute))
	if f = b.does(late, worklist.Act{Action: worklist.Resolve, Comment: "as I saw it"}); f.Status != worklist.Open {
		t.Errorf("resolved by somebody who had not seen all: %s", f.Status)
	}
	f = b.does(f, worklist.Act{Action: worklist.Except, Comment: "known", Until: b.now().Add(time.Hour)})
	b.found(once(call, 3*time.Minute))
	if f = b.find(f.Key); f.Status != worklist.Excepted {
		t.Errorf("one more call of what is excepted: %s", f.Status)
	}
}

// What is looked for is found as it is written, whatever is in it.
func TestAnyTextIsAValue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.found(story.Events()...)
	f := b.list(worklist.Filter{})[0]
	for _, name := range []string{`ACME\bob`, "a\tb", `back\`, "two\nlines", "it's", "{tenant:String}", "ü", "%", `\N`} {
		b.does(f, worklist.Act{Action: worklist.Assign, Assignee: name})
		if got := b.list(worklist.Filter{Assignee: name}); len(got) != 1 || got[0].Assignee != name {
			t.Errorf("%q finds %v", name, got)
		}
	}
}

// An exception ends by itself, and its end is another revision.
func TestExceptionEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.found(story.Events()...)
	f := b.list(worklist.Filter{})[0]
	before := b.does(f, worklist.Act{Action: worklist.Except, Comment: "for a moment", Until: b.now().Add(5 * time.Second)})
	if before.Status != worklist.Excepted || before.ExceptedUntil.IsZero() {
		t.Fatalf("%+v", before)
	}
	embeddedtest.Eventually(t, time.Minute, "the exception ends", func(ctx context.Context) error {
		after, err := worklist.Find(ctx, b.reader, "", f.Key)
		if err == nil && (after.Status != worklist.Open || after.Revision == before.Revision) {
			err = fmt.Errorf("%s, revision %s", after.Status, after.Revision)
		}
		return err
	})
}

// What the detections close is closed, whoever had it, and open again when it comes back.
func TestAutoResolved(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.found(story.Events()...)
	f := b.does(b.list(worklist.Filter{Rule: "call_after_deny"})[0], worklist.Act{Action: worklist.Assign, Assignee: "carol"})
	again := func(effect event.Effect, outcome event.Outcome, later time.Duration) {
		t.Helper()
		e := once("refund-decision", later)
		e.Decision.Effect, e.Outcome = effect, outcome
		b.found(e)
		f = b.find(f.Key)
	}
	again(event.Allow, event.Success, 100*time.Millisecond)
	if f.Status != worklist.AutoResolved {
		t.Fatalf("after a late allow: %s", f.Status)
	}
	if err := (&worklist.Act{Action: worklist.Resolve, Comment: "x", Time: time.Now()}).Check(f); !errors.Is(err, worklist.ErrStatus) {
		t.Errorf("resolve what is resolved: %v", err)
	}
	again(event.Deny, event.Denied, 200*time.Millisecond)
	if f.Status != worklist.Open || f.Assignee != "carol" {
		t.Fatalf("after a deny that came later still: %s, assigned to %q", f.Status, f.Assignee)
	}
	want := []string{"opened", "assigned bob", "auto_resolved", "reappeared"}
	if diff := cmp.Diff(want, b.history(f)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if b.judge(); len(b.history(f)) != len(want) {
		t.Errorf("judging again adds to the history: %v", b.history(f))
	}
}

// Findings of one identity, and of one delegation, stand together.
func TestGroups(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.found(story.Events()...)
	all := b.list(worklist.Filter{})
	for _, by := range worklist.By {
		want := map[string]uint64{}
		for _, f := range all {
			want[f.Tenant+" "+map[string]string{"identity": f.Identity, "chain": f.Chain}[by]]++
		}
		groups, err := worklist.Groups(t.Context(), b.reader, by, worklist.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		got, last := map[string]uint64{}, len(detect.Severities)
		for _, g := range groups {
			got[g.Tenant+" "+g.Group] = g.Findings
			first := b.find(g.Keys[0])
			if uint64(len(g.Keys)) != g.Findings || first.Severity != g.Severity || len(g.Rules) == 0 || g.LastSeen.Before(g.FirstSeen) {
				t.Errorf("by %s: %+v", by, g)
			}
			severity := slices.Index(detect.Severities, detect.Severity(g.Severity))
			if severity > last {
				t.Errorf("by %s: %s after what is less severe", by, g.Group)
			}
			last = severity
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", by, diff)
		}
	}
	if _, err := worklist.Groups(t.Context(), b.reader, "tenant", worklist.Filter{}); err == nil {
		t.Error("grouped by what is none")
	}
}

// A tenant's auditor sees its own findings and their history, whatever it asks for,
// and writes nothing; who writes reads nothing.
func TestWalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.found(story.Events()...)
	for _, f := range b.list(worklist.Filter{}) {
		b.does(f, worklist.Act{Action: worklist.Comment, Comment: "of " + f.Tenant})
	}
	auditor := b.clickhouse.Conn(table.Auditor("globex"))
	list, err := worklist.List(t.Context(), auditor, worklist.Filter{})
	if err != nil || len(list) == 0 || slices.ContainsFunc(list, func(f *worklist.Finding) bool { return f.Tenant != "globex" }) {
		t.Errorf("%v: %+v", err, list)
	}
	var tenants []string
	if err := auditor.QueryRow(t.Context(), "SELECT groupUniqArray(tenant) FROM finding_history").Scan(&tenants); err != nil || !slices.Equal(tenants, []string{"globex"}) {
		t.Errorf("history of %v, %v", tenants, err)
	}
	a := &worklist.Act{ID: uuid.New(), Time: time.Now(), Action: worklist.Resolve, Comment: "x"}
	if err := worklist.Append(t.Context(), auditor, list[0], a); err == nil {
		t.Error("an auditor writes history")
	}
	for _, sql := range []string{"SELECT count() FROM worklist", "SELECT count() FROM finding_history", "SELECT count() FROM records", "ALTER TABLE finding_history DELETE WHERE 1", "TRUNCATE TABLE finding_history"} {
		if err := b.writer.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "Not enough privileges") {
			t.Errorf("custody_handler may %s: %v", sql, err)
		}
	}
}
