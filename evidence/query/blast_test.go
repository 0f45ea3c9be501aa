package query_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// at is a time on the morning of the story.
func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-10-05 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

func names(list []query.Touched, of func(query.Touched) string) (out []string) {
	for _, t := range list {
		out = append(out, of(t))
	}
	slices.Sort(out)
	return out
}

func tools(b *query.Blast) []string {
	return names(b.Tools, func(t query.Touched) string { return t.Server + "/" + t.Tool })
}

func live(b *query.Blast) (out []string) {
	for _, t := range b.Live {
		out = append(out, t.TokenRef)
	}
	slices.Sort(out)
	return out
}

// What a token, somebody or a chain touched in the story, and what stands at a time.
func TestBlastRadius(t *testing.T) {
	t.Parallel()
	r := reader(t, tell(t), embedded.Analyst, "")
	ref := func(name string) string { return story.Named(name).Token.Ref }
	for _, c := range []struct {
		start string
		to    string
		tools []string
		live  []string
		calls uint64
	}{
		// Alice's login: everything of the tenant came from it. At 09:16:30 her own token and the cached one stand.
		{ref("alice-login"), "09:16:30", []string{"deploy-mcp/deploy_service", "github-mcp/merge_pull_request", "github-mcp/search_issues"}, []string{ref("alice-login"), ref("search-issues-call")}, 3},
		{ref("alice-login"), "12:00:00", []string{"deploy-mcp/deploy_service", "github-mcp/create_branch", "github-mcp/delete_repository", "github-mcp/get_issue", "github-mcp/get_pull_request_diff", "github-mcp/merge_pull_request", "github-mcp/search_issues"}, nil, 8},
		// One hop: the token itself and what the server made of it.
		{ref("merge-call"), "09:01:00", []string{"deploy-mcp/deploy_service", "github-mcp/merge_pull_request"}, []string{ref("merge-call"), ref("deploy-call")}, 2},
		{story.Named("deploy-call").ID, "09:01:00", []string{"deploy-mcp/deploy_service"}, []string{ref("deploy-call")}, 1},
		// An agent: what it did, and what was done in its name below.
		{"principal:planner", "12:00:00", []string{"deploy-mcp/deploy_service", "github-mcp/create_branch", "github-mcp/delete_repository", "github-mcp/get_issue", "github-mcp/get_pull_request_diff", "github-mcp/merge_pull_request", "github-mcp/search_issues"}, nil, 8},
		{"principal:github-mcp@https://idp.acme.example", "09:01:00", []string{"deploy-mcp/deploy_service"}, []string{ref("deploy-call")}, 1},
		// A key never ends; the revoked token stands no more though it has not expired; ivy's have.
		{"principal:runner", "12:30:00", []string{"payroll-mcp/get_payslip", "payroll-mcp/list_salaries", "tickets-mcp/close_ticket", "tickets-mcp/export_report", "tickets-mcp/search_tickets"}, []string{ref("key-found")}, 8},
		{"principal:runner", "11:51:00", []string{"payroll-mcp/get_payslip", "payroll-mcp/list_salaries", "tickets-mcp/close_ticket", "tickets-mcp/export_report", "tickets-mcp/search_tickets"}, []string{ref("key-found"), ref("runner-issued")}, 7},
	} {
		got, err := r.BlastRadius(t.Context(), c.start, query.ChainOptions{To: at(c.to)})
		if err != nil {
			t.Errorf("%s: %v", c.start, err)
			continue
		}
		slices.Sort(c.live)
		if diff := cmp.Diff(c.tools, tools(got)); diff != "" {
			t.Errorf("%s until %s: tools (-want +got):\n%s", c.start, c.to, diff)
		}
		if diff := cmp.Diff(c.live, live(got)); diff != "" {
			t.Errorf("%s until %s: valid tokens (-want +got):\n%s", c.start, c.to, diff)
		}
		if got.Calls != c.calls {
			t.Errorf("%s until %s: %d calls, want %d", c.start, c.to, got.Calls, c.calls)
		}
		if sum := func() (n uint64) {
			for _, h := range got.Holders {
				n += h.Calls
			}
			return n
		}(); sum != got.Calls {
			t.Errorf("%s: holders made %d calls of %d", c.start, sum, got.Calls)
		}
		conforms(t, "blast", got)
	}
	if _, err := r.BlastRadius(t.Context(), "principal:nobody", query.ChainOptions{To: at("12:00:00")}); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if got, err := reader(t, tell(t), embedded.Analyst, "acme").BlastRadius(t.Context(), ref("refund-call"), query.ChainOptions{}); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("a token of another tenant: %+v, %v", got, err)
	}
}

// A token that was derived without a word about who stands behind it counts all the same.
func TestBlastRadiusOfSilentServers(t *testing.T) {
	t.Parallel()
	c := tell(t, "exchange-deploy", "deploy-call", "deploy-decision")
	x, call := story.Named("exchange-deploy"), story.Named("deploy-call")
	for _, e := range []*event.Event{x, call} {
		e.Subject, e.Actor, e.Chain, e.ChainRule, e.ChainRaw = event.Party{}, event.Party{}, nil, "", ""
	}
	put(t, c, x, call)
	got, err := reader(t, c, embedded.Analyst, "acme").BlastRadius(t.Context(), "principal:planner", query.ChainOptions{To: at("09:01:00")})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(tools(got), "deploy-mcp/deploy_service") || !slices.Contains(live(got), call.Token.Ref) {
		t.Errorf("tools %q, valid %q", tools(got), live(got))
	}
}

// An issuer that reports a revocation knows the token by its jti.
func TestRevokedByID(t *testing.T) {
	t.Parallel()
	c := tell(t)
	revoked := story.Named("runner-revoked")
	revoked.Time = story.Named("deploy-call").Time + 1_000_000
	revoked.Tenant, revoked.Source.ID = "acme", "acme-idp"
	revoked.Token = event.Token{JTI: story.Named("deploy-call").Token.JTI, Iss: story.Named("deploy-call").Token.Iss}
	revoked.ID = event.NewID("acme", "acme-idp", "revoked", revoked.Time)
	put(t, c, revoked)
	r := reader(t, c, embedded.Analyst, "acme")
	for to, want := range map[string]bool{"09:00:02": true, "09:00:30": false} {
		got, err := r.BlastRadius(t.Context(), "principal:github-mcp", query.ChainOptions{To: at(to)})
		if err != nil {
			t.Fatal(err)
		}
		if is := slices.Contains(live(got), story.Named("deploy-call").Token.Ref); is != want {
			t.Errorf("at %s: valid %t, want %t", to, is, want)
		}
	}
	found, err := r.Chain(t.Context(), story.Named("deploy-call").Token.Ref)
	if err != nil {
		t.Fatal(err)
	}
	var at event.Time
	found.Chains[0].Root.Walk(func(h *chain.Hop, _ int) {
		if h.TokenRef == story.Named("deploy-call").Token.Ref {
			at = h.RevokedAt
		}
	})
	if at != revoked.Time {
		t.Errorf("the chain says revoked at %s, want %s", at.Go(), revoked.Time.Go())
	}
}
