package query_test

import (
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

// tell stores the story in a real ClickHouse, without the events named.
func tell(t *testing.T, without ...string) *embeddedtest.ClickHouse {
	t.Helper()
	c := embeddedtest.StartClickHouse(t, tenants...)
	store(t, c, without)
	return c
}

var tenants = []string{"acme", "globex", "initech"}

// reader reads as this user.
func reader(t *testing.T, c *embeddedtest.ClickHouse, user, tenant string) *query.Reader {
	t.Helper()
	r, err := query.New(query.Config{ClickHouse: c.Conn(user), Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func store(t *testing.T, c *embeddedtest.ClickHouse, without []string) {
	t.Helper()
	var records []*table.Record
	seen := map[string]bool{}
	for i, e := range story.Events() {
		if strings.Contains(" "+strings.Join(without, " ")+" ", " "+e.Source.EventID+" ") {
			continue
		}
		r := &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e", Offset: int64(i)}, LogTime: e.ObservedTime.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e}
		if seen[e.ID] {
			r.State = table.Duplicate
		}
		seen[e.ID] = true
		records = append(records, r)
	}
	c.Store(t, records...)
}

func TestSearch(t *testing.T) {
	t.Parallel()
	r := reader(t, tell(t), embedded.Analyst, "")
	now := time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)
	search := func(text string) []string {
		t.Helper()
		f, err := query.ParseFilter(text, now)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for after := ""; ; {
			page, err := r.Search(t.Context(), f, 3, after)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Events {
				names = append(names, e.Source.EventID)
			}
			if after = page.Next; after == "" {
				return names
			}
		}
	}
	for text, want := range map[string][]string{
		"tool:deploy_service kind:tool_invocation":          {"deploy-call"},
		"tool:deploy* -kind:tool_invocation tenant:acme":    {"deploy-decision"},
		"kind:token_exchange granted:crm:export":            {"exchange-widening"},
		"tool:deploy_service before:2026-10-05T09:00:01.6Z": {"deploy-decision"},
		`subject:"nobody at all"`:                           nil,
		"tool:refund_payment kind:tool_invocation last:24h": {"refund-call"},
		"tool:refund_payment kind:tool_invocation last:1m":  nil,
		"tool:' kind:tool_invocation":                       nil,
	} {
		if diff := cmp.Diff(want, search(text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	events := map[string]bool{}
	for _, e := range story.Events() {
		events[e.ID] = true
	}
	if got := search("last:30d"); len(got) != len(events) {
		t.Errorf("all pages hold %d events, want %d", len(got), len(events))
	}
	for _, bad := range []string{"tool", "nofield:x", "last:yesterday", "after:noon", `subject:"open`, "tool:"} {
		if _, err := query.ParseFilter(bad, now); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	r := reader(t, tell(t, "exchange-deploy"), embedded.Analyst, "acme")
	call := story.Named("deploy-call")
	trees := map[string]string{}
	for _, start := range []string{call.ID, call.Token.Ref, call.Correlation.TraceID} {
		found, err := r.Chain(t.Context(), start)
		if err != nil {
			t.Fatalf("%s: %v", start, err)
		}
		var sb strings.Builder
		if err := found.Chains[0].WriteTree(&sb); err != nil {
			t.Fatal(err)
		}
		trees[start] = sb.String()
		want := []string{"alice (human)", "planner (agent)", "github-mcp (server) for alice (human)", "deploy_service at deploy-mcp", "MISSING"}
		for _, w := range want {
			if !strings.Contains(sb.String(), w) {
				t.Errorf("%s: no %q in\n%s", start, w, sb.String())
			}
		}
	}
	// The exchange that made the token is not there; the trace of its call has the one before.
	if diff := cmp.Diff(trees[call.ID], trees[call.Token.Ref]); diff != "" {
		t.Errorf("from the token it is another chain than from its call (-call +token):\n%s", diff)
	}
	for _, start := range []string{"nonsense", event.TokenRef("no such token"), strings.Repeat("0", 32), story.Named("refund-call").ID} {
		if found, err := r.Chain(t.Context(), start); err == nil {
			t.Errorf("%s of another tenant or of nobody: %+v", start, found)
		}
	}
}
