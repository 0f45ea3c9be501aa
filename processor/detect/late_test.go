package detect_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// Judging again, by the same engine or another, writes no row.
func TestTwiceAddsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store(without()...)
	b.once()
	rows := b.count(t.Context(), "SELECT count() FROM finding_states")
	for range 2 {
		if r := b.once(); r != (detect.Result{}) {
			t.Errorf("judging again changed %+v", r)
		}
		b.engine = b.newEngine(nil)
	}
	if err := b.clickhouse.Conn(embedded.Admin).Exec(t.Context(), "TRUNCATE TABLE rule_progress"); err != nil {
		t.Fatal(err)
	}
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("judging everything anew changed %+v", r)
	}
	if n := b.count(t.Context(), "SELECT count() FROM finding_states"); n != rows || rows != uint64(len(found)) {
		t.Errorf("%d rows, then %d, for %d findings", rows, n, len(found))
	}
}

// Whichever event comes last, in the end the same is open. Each order is tried in
// tenants of its own, so that all are judged in two rounds.
func TestAnyEventMayComeLast(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond }) // what was judged is not read again
	stories := make([][]*event.Event, len(story.Events()))
	for i := range stories {
		stories[i] = story.Events()
		for _, e := range stories[i] {
			move(e, fmt.Sprintf("%s-%d", e.Tenant, i))
		}
		b.store(slices.Concat(stories[i][:i], stories[i][i+1:])...)
	}
	b.once()
	for i := range stories {
		b.store(stories[i][i])
	}
	b.once()
	got := map[string][]told{}
	for _, x := range b.told(detect.Filter{Status: detect.Open, Limit: 10_000}) {
		tenant, number, _ := strings.Cut(x.Tenant, "-")
		x.Tenant = tenant
		got[number] = append(got[number], x)
	}
	for i := range stories {
		if diff := cmp.Diff(found, got[fmt.Sprint(i)]); diff != "" {
			t.Errorf("%s comes last (-want +got):\n%s", stories[i][i].Source.EventID, diff)
		}
	}
}

// empty forgets everything stored.
func (b *bench) empty() {
	b.Helper()
	admin := b.clickhouse.Conn(embedded.Admin)
	for _, table := range []string{"records", "event_keys", "source_sequences", "finding_states", "rule_progress", "pass_progress", "first_seen_states", "activity_states", "activity_days", "rhythm_states",
		"token_lineage_states", "coverage_states", "token_calls", "token_issues", "verdict_states"} {
		if err := admin.Exec(b.Context(), "TRUNCATE TABLE "+table); err != nil {
			b.Fatal(err)
		}
	}
	clear(b.names)
	b.passes = b.newPasses() // they remember what they took in
}

// A decision that comes late resolves the finding that nobody decided, and says so.
func TestLateDecisionResolves(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	b.store(without("salaries-september-decision")...)
	b.once()
	undecided := detect.Filter{Rule: "call_without_decision", Tenant: "initech"}
	want := []told{{"call_without_decision", "initech", detect.Open, []string{"salaries-september-call"}}}
	if diff := cmp.Diff(want, b.told(undecided)); diff != "" {
		t.Fatalf("before (-want +got):\n%s", diff)
	}
	b.store(story.Named("salaries-september-decision"))
	if r := b.once(); r != (detect.Result{AutoResolved: 1}) {
		t.Errorf("the decision changed %+v", r)
	}
	want[0].Status = detect.AutoResolved
	if diff := cmp.Diff(want, b.told(undecided)); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	if r := b.once(); r != (detect.Result{}) {
		t.Errorf("judging again changed %+v", r)
	}
}

// changed returns an event of the story as another event.
func changed(name string, change func(*event.Event)) *event.Event {
	e := story.Named(name)
	e.Source.EventID, e.Source.Sequence = e.Source.EventID+"-changed", 0 // its number is taken
	change(e)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// An allow that was reported late, between the deny and the call.
func TestLateAllowResolves(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	b.store(without()...)
	b.once()
	b.store(changed("refund-decision", func(e *event.Event) {
		e.Time = e.Time.Add(100 * time.Millisecond)
		e.Decision.Effect, e.Outcome, e.Decision.Reason = event.Allow, event.Success, ""
	}))
	if r := b.once(); r != (detect.Result{AutoResolved: 1}) {
		t.Errorf("the allow changed %+v", r)
	}
	if open := b.told(detect.Filter{Rule: "call_after_deny", Status: detect.Open}); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
}

// An engine that failed, has no policy for the call, or answers with a condition only,
// has not decided; and a deny stays one when such an answer follows it.
func TestNeitherAllowNorDeny(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	for effect, outcome := range map[event.Effect]event.Outcome{event.NotApplicable: event.Failure, event.EffectError: event.Error} {
		b.empty()
		undecided := changed("salaries-september-decision", func(e *event.Event) { e.Decision.Effect, e.Outcome = effect, outcome })
		b.store(append(without("salaries-september-decision"), undecided,
			changed("refund-decision", func(e *event.Event) {
				e.Time = e.Time.Add(100 * time.Millisecond)
				e.Decision.Effect, e.Outcome, e.Decision.Reason = effect, outcome, ""
			}))...)
		b.once()
		want := inOrder(append(slices.Clone(found), told{"call_without_decision", "initech", detect.Open, []string{"salaries-september-call"}}))
		if diff := cmp.Diff(want, b.told(detect.Filter{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", effect, diff)
		}
		list := b.findings(detect.Filter{Rule: "call_without_decision", Tenant: "initech"})
		if said := " and nobody decided: the answer was " + string(effect); len(list) != 1 || !strings.HasSuffix(list[0].Summary, said) {
			t.Errorf("%s: %v", effect, list)
		}
		b.store(story.Named("salaries-september-decision"))
		if r := b.once(); r != (detect.Result{AutoResolved: 1}) {
			t.Errorf("%s: the allow changed %+v", effect, r)
		}
	}
}

// An engine without a policy for a server covers none of its calls.
func TestNotApplicableCoversNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	events := story.Events()
	for _, e := range events {
		if slices.Contains(pdp(), e.Source.EventID) {
			e.Decision.Effect, e.Outcome = event.NotApplicable, event.Failure
		}
	}
	b.store(events...)
	b.once()
	if got := b.told(detect.Filter{Rule: "call_without_decision"}); got != nil {
		t.Errorf("found %v", got)
	}
}

// A credential's finding ends with its revocation and comes back with its use.
func TestRevocationResolvesAndUseReopens(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	b.store(without()...)
	b.once()
	status := func() string { return b.told(detect.Filter{Rule: "static_credential"})[0].Status }
	b.store(changed("key-found", func(e *event.Event) {
		e.Type, e.Time = event.TypeCredentialRevoked, e.Time.Add(time.Hour)
	}))
	if r := b.once(); r != (detect.Result{AutoResolved: 1}) || status() != detect.AutoResolved {
		t.Errorf("the revocation changed %+v, the finding is %s", r, status())
	}
	b.store(changed("salaries-august-call", func(e *event.Event) { e.Time = e.Time.Add(2 * time.Hour) }))
	r := b.once()
	if r.Reopened != 1 || status() != detect.Open {
		t.Errorf("the use after the revocation changed %+v, the finding is %s", r, status())
	}
}

// A task that is taken up again before the call has not ended.
func TestLateStartResolves(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	b.store(without()...)
	b.once()
	b.store(changed("triage-started", func(e *event.Event) { e.Time = story.Named("triage-ended").Time.Add(time.Minute) }))
	if r := b.once(); r != (detect.Result{AutoResolved: 1}) {
		t.Errorf("the start changed %+v", r)
	}
}

// Evidence grows and stays within its bound, in whatever order it comes.
func TestEvidenceIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *detect.Config) { c.Visible = time.Nanosecond })
	var calls []*event.Event
	for i := range 3 * detect.MaxEvidence {
		e := story.Named("salaries-august-call")
		e.Time = e.Time.Add(time.Duration(i) * time.Second)
		e.ID = event.NewID(e.Tenant, e.Source.ID, "", e.Time)
		calls = append(calls, e)
	}
	var want []string
	for _, e := range slices.Concat(calls[:detect.MaxEvidence/2], calls[len(calls)-detect.MaxEvidence/2:]) {
		want = append(want, e.ID)
	}
	for _, part := range [][]*event.Event{calls[100:150], calls[250:], calls[:50], calls[150:250], calls[50:100]} {
		b.store(part...)
		b.once()
	}
	list := b.findings(detect.Filter{Rule: "static_credential"})
	if len(list) != 1 {
		t.Fatalf("%d findings", len(list))
	}
	var got []string
	for _, id := range list[0].Evidence {
		got = append(got, id.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	if f := list[0]; !f.FirstSeen.Equal(calls[0].Time.Go()) || !f.LastSeen.Equal(calls[len(calls)-1].Time.Go()) {
		t.Errorf("seen from %s to %s", f.FirstSeen, f.LastSeen)
	}
}
