package detect_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// What was found about a privilege, and what people did about it, stands beside it;
// what is excepted is left to the identity until the exception ends.
func TestPrivilegeExcepted(t *testing.T) {
	t.Parallel()
	b := newBench(t, privileged(t))
	carries := func(days float64) *event.Event {
		return ago(days, "triage-call", func(e *event.Event) { e.Token.Scope = []string{"tickets:read", "tickets:delete"} })
	}
	listed := func(days float64) *event.Event {
		return ago(days, "grant-payments", func(e *event.Event) {
			e.Type, e.Token.Scope, e.Subject, e.Actor, e.Server = event.TypeGrantListed, []string{"tickets:delete"}, event.Party{}, story.Named("triage-call").Actor, story.Named("triage-call").Server
			e.Tool = event.Tool{}
		})
	}
	first := carries(1)
	b.registry = enrich.NewSnapshot(map[string]*enrich.Registry{first.Tenant: tickets()})
	b.store(carries(120), carries(60), first, listed(100), listed(2))
	b.takeIn()
	if got := b.once(); got.Opened != 2 {
		t.Fatalf("changes %+v, want two opened", got)
	}
	r, err := query.New(query.Config{ClickHouse: b.clickhouse.Conn(embedded.Analyst), Tenant: first.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	about := query.PrivilegeFilter{Identity: first.Actor.Sub}
	deletes := func(list []*query.Privilege) *query.Privilege {
		if i := slices.IndexFunc(list, func(p *query.Privilege) bool { return p.Name == "tickets:delete" }); i >= 0 {
			return list[i]
		}
		return nil
	}
	// check says how findings stand, and whether the scope is left to the identity.
	check := func(rule, status, reason string, kept bool) {
		t.Helper()
		page, err := r.Privileges(t.Context(), about, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Privileges {
			if p.Name != "tickets:delete" && len(p.Findings) > 0 {
				t.Errorf("%s %s has findings", p.Kind, p.Name)
			}
		}
		p := deletes(page.Privileges)
		if p == nil || len(p.Findings) != 2 || p.Findings[0].Rule != "unused_grant" || p.Findings[1].Rule != "over_scoped_token" {
			t.Fatalf("tickets:delete: %+v", p)
		}
		for _, f := range p.Findings {
			want := worklist.Open
			if f.Rule == rule {
				want = status
			}
			if f.Status != want || f.Rule == rule && f.Reason != reason || (f.Status == worklist.Excepted) != (f.Until != nil && f.Until.After(time.Now())) {
				t.Errorf("%s: %+v, want %s", f.Rule, f, want)
			}
		}
		s, err := r.Suggest(t.Context(), about)
		if err != nil {
			t.Fatal(err)
		}
		if (deletes(s.Keep) != nil) != kept || (deletes(s.Remove) != nil) == kept {
			t.Errorf("it keeps %v and removes %v, want tickets:delete kept %t", s.Servers, deletes(s.Remove), kept)
		}
	}
	act := func(rule string, a worklist.Act) {
		t.Helper()
		f, err := worklist.List(t.Context(), b.clickhouse.Conn(embedded.Analyst), worklist.Filter{Status: worklist.All, Rule: rule})
		if err != nil || len(f) != 1 {
			t.Fatalf("%d findings, %v", len(f), err)
		}
		a.ID, a.ActorSub, a.Time = uuid.New(), "carol", time.Now()
		if err := worklist.Append(t.Context(), b.clickhouse.Conn(embedded.Handler), f[0], &a); err != nil {
			t.Fatal(err)
		}
	}
	check("unused_grant", detect.Open, "", false)
	act("unused_grant", worklist.Act{Action: worklist.Acknowledge, Comment: "asked the owner"})
	check("unused_grant", worklist.Acknowledged, "asked the owner", false)
	act("unused_grant", worklist.Act{Action: worklist.Except, Until: time.Now().Add(30 * 24 * time.Hour), Comment: "the yearly close"})
	check("unused_grant", worklist.Excepted, "the yearly close", true)
	act("unused_grant", worklist.Act{Action: worklist.Except, Until: time.Now().Add(-time.Hour), Comment: "ended"})
	check("unused_grant", worklist.Open, "ended", false)
	act("over_scoped_token", worklist.Act{Action: worklist.Except, Until: time.Now().Add(time.Hour), Comment: "the issuer cannot do less"})
	check("over_scoped_token", worklist.Excepted, "the issuer cannot do less", true)
}
