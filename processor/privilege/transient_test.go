package privilege_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/schemas/event"
)

// Grants that come and go between two reviews, neither of which sees them stand, are
// kept and counted: when, how often, by how many tokens, and for how long those were
// at risk where nobody used them.
func TestComeAndGo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	served := func(days float64, task string) *event.Event {
		e := call(days, "elevated", "merge", "e1", "repo:write")
		e.Correlation.TaskID, e.Correlation.SessionID = task, "one"
		return e
	}
	b.store([]*event.Event{
		call(200, "somebody", "read", "s0", "repo:read"), // since then calls of git are seen
		exchange(70, "visitor", "v1", 300, "repo:write"), exchange(69.9, "visitor", "v2", 300, "repo:write"), exchange(69, "visitor", "v3", 300, "repo:write"),
		exchange(40, "visitor", "v4", 300, "repo:write"),
		grant(60, event.TypeGrantListed, "visitor", "issue:write"), grant(59, event.TypeGrantRemoved, "visitor", "issue:write"),
		exchange(45, "elevated", "e1", 600, "repo:write"), served(45, "a"), served(44.99, "b"),
	})
	b.take()
	type kept struct {
		State                               string
		Days, Times, Tokens, Risk, Uses     uint64
		First, Last                         time.Time
		TokenTasks, TokenSessions, Lifetime uint64
	}
	got := map[string]kept{}
	for _, p := range b.list(query.PrivilegeFilter{Kind: "scope", Window: 30 * 24 * time.Hour, States: []string{query.Lapsed, query.Removed}}).Privileges {
		if p.Identity != "somebody" {
			got[p.Identity+" "+p.Name] = kept{p.State, p.GrantedDays, p.GrantedTimes, p.Tokens, p.RiskSeconds, p.Uses, *p.GrantedSince, *p.GrantedLast, p.TokenTasks, p.TokenSessions, p.MaxLifetimeSeconds}
		}
	}
	ago := func(days float64) time.Time { return now.Add(-time.Duration(days * float64(24*time.Hour))) }
	want := map[string]kept{
		"visitor repo:write":  {query.Lapsed, 3, 2, 4, 1200, 0, ago(70), ago(40), 0, 0, 300},
		"visitor issue:write": {query.Removed, 1, 1, 0, 0, 0, ago(60), ago(60), 0, 0, 0},
		"elevated repo:write": {query.Lapsed, 1, 1, 1, 0, 2, ago(45), ago(44.99), 2, 1, 3600},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
