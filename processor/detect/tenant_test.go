package detect_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

const neighbour = "hooli"

// moved is the story with the named events in the neighbour's books: the same
// tokens, decisions, tasks and times, another tenant.
func moved(names ...string) []*event.Event {
	events := story.Events()
	for _, e := range events {
		if slices.Contains(names, e.Source.EventID) {
			move(e, neighbour)
		}
	}
	return events
}

func move(e *event.Event, tenant string) {
	e.Tenant = tenant
	e.ID = event.NewID(tenant, e.Source.ID, e.Source.EventID, e.Time)
}

// pdp are the decisions of globex.
func pdp() (names []string) {
	for _, e := range story.Events() {
		if e.Source.ID == "globex-pdp" {
			names = append(names, e.Source.EventID)
		}
	}
	return names
}

// Half of what makes a finding, in another tenant, makes none; and what another
// tenant decided, covers or revoked is nothing to this one.
func TestNothingCrossesTenants(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	numbers := func(x told) bool { return x.Rule == "sequence_gap" } // a move leaves a gap; see TestSequencesOfTwoTenants
	undecided := told{"call_without_decision", "initech", detect.Open, []string{"salaries-september-call"}}
	for _, c := range []struct {
		name  string
		moved []string
		gone  string
		more  []told
	}{
		{"the deny", []string{"refund-decision"}, "call_after_deny", nil},
		{"the denied call", []string{"refund-call"}, "call_after_deny", nil},
		{"the end of the task", []string{"triage-ended"}, "token_outliving_task", nil},
		{"the first use of the token", []string{"customer-call"}, "token_passthrough", []told{{"audience_mismatch", "globex", detect.Open, []string{"invoices-call"}}}},
		{"all decisions of the engine", pdp(), "call_without_decision", nil},
		{"one decision", []string{"salaries-september-decision"}, "", []told{undecided}},
	} {
		b.empty()
		b.store(moved(c.moved...)...)
		b.once()
		want := slices.DeleteFunc(slices.Clone(found), func(x told) bool {
			return x.Rule == c.gone || numbers(x) || c.name == "all decisions of the engine" && x.Rule == "call_after_deny"
		})
		want = append(want, c.more...)
		if diff := cmp.Diff(inOrder(want), slices.DeleteFunc(b.told(detect.Filter{}), numbers)); diff != "" {
			t.Errorf("%s moved (-want +got):\n%s", c.name, diff)
		}
	}
}

// Two tenants with the same story have the same findings, each its own.
func TestTwinTenants(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	twins := story.Events()
	for _, e := range story.Events() {
		e.Tenant += "-twin"
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		twins = append(twins, e)
	}
	b.store(twins...)
	if r := b.once(); r != (detect.Result{Opened: 2 * len(found)}) {
		t.Errorf("changes %+v", r)
	}
	tenantOf := map[string]string{}
	for _, e := range twins {
		tenantOf[e.ID] = e.Tenant
	}
	keys := map[string]bool{}
	for _, f := range b.findings(detect.Filter{}) {
		keys[f.Key] = true
		for _, id := range f.Evidence {
			if tenantOf[id.String()] != f.Tenant {
				t.Errorf("%s of %s rests on an event of %q", f.Rule, f.Tenant, tenantOf[id.String()])
			}
		}
	}
	if len(keys) != 2*len(found) {
		t.Errorf("%d keys", len(keys))
	}
	if diff := cmp.Diff(found[:1], b.told(detect.Filter{Tenant: "globex", Rule: "call_after_deny"})); diff != "" {
		t.Errorf("one tenant's (-want +got):\n%s", diff)
	}
}

// What the subject token held is known from its issue when the exchange does not
// say, in this tenant and no other.
func TestScopeOfSubjectTokenFromItsIssue(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	silent := func() []*event.Event {
		events := story.Events()
		for _, e := range events {
			if e.Kind == event.TokenExchange {
				e.Exchange.SubjectScope, e.Token.Scope = nil, nil
			}
		}
		return events
	}
	widened := func() []told { return b.told(detect.Filter{Rule: "scope_widening"}) }
	b.store(silent()...)
	b.once()
	want := []told{{"scope_widening", "globex", detect.Open, []string{"bruno-login", "exchange-widening"}}}
	if diff := cmp.Diff(want, widened()); diff != "" {
		t.Errorf("the issue is known (-want +got):\n%s", diff)
	}
	b.empty()
	events := silent()
	for _, e := range events {
		if e.Source.EventID == "bruno-login" {
			move(e, neighbour)
		}
	}
	b.store(events...)
	b.once()
	if got := widened(); got != nil {
		t.Errorf("the issue is another tenant's: %v", got)
	}
	b.store(story.Named("bruno-login"))
	b.once()
	if diff := cmp.Diff(want, widened()); diff != "" {
		t.Errorf("the issue comes late (-want +got):\n%s", diff)
	}
}
