package query_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// conforms holds an answer against its published schema.
func conforms(t *testing.T, name string, answer any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", name+".schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("the answer is not what %s.schema.json says: %v", name, err)
	}
}

// put stores events as they come, in order.
func put(t *testing.T, c *embeddedtest.ClickHouse, events ...*event.Event) {
	t.Helper()
	var records []*table.Record
	for i, e := range events {
		records = append(records, &table.Record{Position: table.Position{Topic: "t", Epoch: fmt.Sprintf("%s-%d", t.Name(), len(events)), Offset: int64(i)}, LogTime: e.Time.Go(),
			State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
	}
	c.Store(t, records...)
}

// calls lists the tools of the first chain that holds one.
func calls(found *query.Chains) (out []string) {
	for _, c := range found.Chains {
		c.Root.Walk(func(h *chain.Hop, _ int) {
			for i := range h.Calls {
				out = append(out, h.Holder().Sub+" "+h.Calls[i].Tool)
			}
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Each form of a start finds what it names.
func TestChainStarts(t *testing.T) {
	t.Parallel()
	r := reader(t, tell(t), embedded.Analyst, "")
	day := story.Events()[0].Time.Go().Truncate(24 * time.Hour)
	o := query.ChainOptions{From: day, To: day.Add(24 * time.Hour)}
	deploy := story.Named("deploy-call")
	for start, want := range map[string]string{
		"principal:github-mcp":                               "github-mcp deploy_service",
		"principal:github-mcp@https://idp.acme.example":      "github-mcp deploy_service",
		"principal:runner":                                   "runner close_ticket",
		"deploy-mcp/deploy_service":                          "github-mcp deploy_service",
		"jsonrpc:deploy-mcp/" + deploy.Correlation.JSONRPCID: "github-mcp deploy_service",
		deploy.ID:                            "github-mcp deploy_service",
		deploy.Token.Ref:                     "github-mcp deploy_service",
		deploy.Correlation.TraceID:           "planner merge_pull_request",
		story.Named("key-found").Token.Ref:   "runner list_salaries",
		story.Named("alice-login").Token.Ref: "planner delete_repository", // down to everything derived
	} {
		found, err := r.ChainOf(t.Context(), start, o)
		if err != nil {
			t.Errorf("%s: %v", start, err)
			continue
		}
		if got := calls(found); !slices.Contains(got, want) {
			t.Errorf("%s: calls %q, want %q among them", start, got, want)
		}
		conforms(t, "chain", found)
	}
	for _, start := range []string{"principal:github-mcp@https://elsewhere.example", "deploy-mcp/no_such_tool", "jsonrpc:deploy-mcp/0", "principal:nobody"} {
		if _, err := r.ChainOf(t.Context(), start, o); !errors.Is(err, query.ErrNotFound) {
			t.Errorf("%s: %v, want not found", start, err)
		}
	}
	if _, err := r.ChainOf(t.Context(), "deploy-mcp/deploy_service", query.ChainOptions{To: day}); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("outside the window: %v", err)
	}
	for _, start := range []string{"principal:", "jsonrpc:x", "x/", "/x", "nonsense"} {
		if _, err := r.ChainOf(t.Context(), start, o); err == nil || !strings.Contains(err.Error(), "want an event id") {
			t.Errorf("%s: %v", start, err)
		}
	}
}

// missingOf returns what the chain of a start says of its one gap.
func missingOf(t *testing.T, r *query.Reader, start string) *chain.Missing {
	t.Helper()
	found, err := r.Chain(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	var m *chain.Missing
	found.Chains[0].Root.Walk(func(h *chain.Hop, _ int) {
		if h.Missing != nil && h.TokenRef != "" {
			m = h.Missing
		}
		for i := range h.Calls {
			if h.Calls[i].Missing != nil {
				m = h.Calls[i].Missing
			}
		}
	})
	if m == nil {
		t.Fatalf("nothing is missing in the chain of %s", start)
	}
	return m
}

// What is missing says why.
func TestReasons(t *testing.T) {
	t.Parallel()
	c := tell(t, "exchange-deploy")
	r := reader(t, c, embedded.Analyst, "")
	if m := missingOf(t, r, story.Named("deploy-call").ID); m.Reason != chain.NeverSeen || !strings.Contains(m.Detail, "acme-sts reported") {
		t.Errorf("a withheld exchange: %+v", m)
	}
	if m := missingOf(t, r, story.Named("notes-call").ID); m.Reason != chain.NeverSeen || !strings.Contains(m.Detail, "globex-pdp reported") {
		t.Errorf("a call that was not decided: %+v", m)
	}
	// A tenant of whom only calls are known, and one whose tokens are older than what is kept.
	call := func(tenant string, issued time.Duration) *event.Event {
		e := story.Named("deploy-call")
		e.Tenant, e.Source.ID = tenant, tenant+"-mcp"
		e.ID = event.NewID(tenant, "x", "call", e.Time)
		e.Correlation, e.Token.IssuedAt = event.Correlation{}, e.Time.Add(-issued)
		return e
	}
	earlier, lonely := call("umbrella", 0), call("umbrella", time.Minute)
	earlier.Time -= 3_600_000_000
	earlier.ID, earlier.Token = event.NewID("umbrella", "x", "earlier", earlier.Time), event.Token{}
	old := call("hooli", 90*24*time.Hour)
	put(t, c, earlier, lonely, old)
	if m := missingOf(t, r, lonely.ID); m.Reason != chain.NoSource {
		t.Errorf("nobody reports exchanges: %+v", m)
	}
	if m := missingOf(t, r, old.ID); m.Reason != chain.Retention && m.Reason != chain.NoSource {
		t.Errorf("older than what is kept: %+v", m)
	}
	found, err := r.Chain(t.Context(), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	var hop *chain.Hop
	found.Chains[0].Root.Walk(func(h *chain.Hop, _ int) {
		if h.TokenRef != "" {
			hop = h
		}
	})
	if hop.Missing == nil || hop.Missing.Reason != chain.Retention {
		t.Errorf("the exchange of three months ago: %+v", hop.Missing)
	}
}

// One token goes through two tenants. Who sees both may join them, and only when asked to.
func TestAcrossTenants(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t, "acme", "globex")
	login, ours, call := story.Named("alice-login"), story.Named("exchange-github"), story.Named("merge-call")
	theirs := story.Named("merge-call")
	theirs.Tenant, theirs.Source.ID = "globex", "globex-mcp"
	theirs.ID = event.NewID("globex", "globex-mcp", "merge", theirs.Time)
	put(t, c, login, ours, call, theirs)
	r := reader(t, c, embedded.Analyst, "")
	apart, err := r.ChainOf(t.Context(), theirs.ID, query.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range apart.Chains {
		k.Root.Walk(func(h *chain.Hop, _ int) {
			if h.Tenant != "globex" {
				t.Errorf("without leave, a hop of %s", h.Tenant)
			}
		})
	}
	joined, err := r.ChainOf(t.Context(), theirs.ID, query.ChainOptions{Across: true})
	if err != nil {
		t.Fatal(err)
	}
	if k := joined.Chains[0]; k.Tenant != "acme" || k.Depth != 1 || len(k.Root.Children[0].Calls) != 2 {
		t.Errorf("across: chain of %s, depth %d: %+v", k.Tenant, k.Depth, k.Root)
	}
	byToken, err := r.ChainOf(t.Context(), call.Token.Ref, query.ChainOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(byToken.OtherTenants, []string{"globex"}) {
		t.Errorf("other tenants %q", byToken.OtherTenants)
	}
	for _, r := range []*query.Reader{reader(t, c, embedded.Analyst, "globex"), reader(t, c, table.Auditor("globex"), "globex")} {
		if _, err := r.ChainOf(t.Context(), theirs.ID, query.ChainOptions{Across: true}); !errors.Is(err, query.ErrAcross) {
			t.Errorf("a reader of one tenant: %v", err)
		}
	}
	hidden, err := reader(t, c, table.Auditor("globex"), "").ChainOf(t.Context(), theirs.ID, query.ChainOptions{Across: true})
	if err != nil {
		t.Fatal(err)
	}
	hidden.Chains[0].Root.Walk(func(h *chain.Hop, _ int) {
		if h.Tenant != "globex" || h.ExchangeEvent != "" {
			t.Errorf("past the row filter: %+v", h)
		}
	})
}

// Ten thousand tokens of one login and fifty exchanges in a row are one chain each,
// whole; what is beyond is cut, and said to be.
func TestLargeChains(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t, "acme")
	login, of := story.Named("alice-login"), *story.Named("exchange-github")
	of.Correlation, of.Exchange.ActorTokenRef = event.Correlation{}, ""
	exchange := func(from, to string, after int) *event.Event {
		x := of
		x.Time += event.Time(after) * 1000
		x.ID = event.NewID("acme", x.Source.ID, from+to, x.Time)
		x.Exchange.SubjectTokenRef, x.Token.Ref, x.Exchange.IssuedTokenRef = from, from, to
		return &x
	}
	events := []*event.Event{login}
	for i := range 10_000 {
		events = append(events, exchange(login.Token.Ref, event.TokenRef(fmt.Sprint("wide ", i)), i))
	}
	deep := func(i int) string { return event.TokenRef(fmt.Sprint("deep ", i)) }
	for i := range 60 {
		events = append(events, exchange(deep(i), deep(i+1), i))
	}
	put(t, c, events...)
	r := reader(t, c, embedded.Analyst, "acme")
	began := time.Now()
	wide, err := r.Chain(t.Context(), login.Token.Ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("10,000 tokens in %s", time.Since(began))
	if n := len(wide.Chains[0].Root.Children); n != 10_000 || len(wide.Cut) != 0 {
		t.Errorf("%d children, cut %q", n, wide.Cut)
	}
	for _, k := range []struct {
		from, depth int
		cut         bool
	}{{10, 60, false}, {9, 60, true}} {
		found, err := r.Chain(t.Context(), deep(k.from))
		if err != nil {
			t.Fatal(err)
		}
		if got := found.Chains[0].Depth; got != k.depth || (len(found.Cut) > 0) != k.cut {
			t.Errorf("from token %d of 60: depth %d, cut %q", k.from, got, found.Cut)
		}
	}
}
