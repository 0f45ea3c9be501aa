package chain

import (
	"strings"
	"testing"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// holders writes a path from the root to the hop with a call of the given event,
// origin first, as the story does.
func holders(chains []*Chain, call string) string {
	var path func(h *Hop) []string
	path = func(h *Hop) []string {
		for _, c := range h.Calls {
			if c.Event == call {
				return []string{h.Holder().Sub, c.Server.ID}
			}
		}
		for _, child := range h.Children {
			if p := path(child); p != nil {
				return append([]string{h.Holder().Sub}, p...)
			}
		}
		return nil
	}
	for _, c := range chains {
		if p := path(c.Root); p != nil {
			return strings.Join(p, " -> ")
		}
	}
	return "no such call"
}

// chapter returns the story's events without those named.
func without(names ...string) []*event.Event {
	var out []*event.Event
	for _, e := range story.Events() {
		keep := true
		for _, n := range names {
			keep = keep && e.Source.EventID != n
		}
		if keep {
			out = append(out, e)
		}
	}
	return out
}

// The chain at each chapter's last call is the one the story says.
func TestStory(t *testing.T) {
	chains := Build(story.Events())
	for _, c := range story.Chapters() {
		last := ""
		for _, name := range c.Events {
			if e := story.Named(name); e.Kind == event.ToolInvocation {
				last = e.ID
			}
		}
		if last == "" {
			continue
		}
		if got := holders(chains, last); got != c.Chain {
			t.Errorf("%s: got %s, want %s", c.Name, got, c.Chain)
		}
	}
}

// A withheld exchange leaves the hop in its place, marked.
func TestWithheldExchange(t *testing.T) {
	chains := Build(without("exchange-deploy"))
	call := story.Named("deploy-call")
	if got, want := holders(chains, call.ID), "alice -> planner -> github-mcp -> deploy-mcp"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	h := find(t, chains, call.Token.Ref)
	if h.Missing == nil || h.Join != ByTask || h.ExchangeEvent != "" {
		t.Errorf("missing %v, join %q", h.Missing, h.Join)
	}
	if complete := find(t, Build(story.Events()), call.Token.Ref); complete.Missing != nil || complete.Join != ByLineage {
		t.Errorf("with the exchange: missing %v, join %q", complete.Missing, complete.Join)
	}
}

// With every exchange withheld the claim alone tells who acted.
func TestClaimOnly(t *testing.T) {
	call := story.Named("deploy-call")
	chains := Build([]*event.Event{call, story.Named("deploy-decision")})
	if got, want := holders(chains, call.ID), "alice -> planner -> github-mcp -> deploy-mcp"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if c := chains[0]; c.Missing != 3 || c.Depth != 2 {
		t.Errorf("missing %d, depth %d", c.Missing, c.Depth)
	}
}

func find(t *testing.T, chains []*Chain, ref string) *Hop {
	t.Helper()
	var found *Hop
	for _, c := range chains {
		c.Root.Walk(func(h *Hop, _ int) {
			if h.TokenRef == ref {
				found = h
			}
		})
	}
	if found == nil {
		t.Fatalf("no hop with %s", ref)
	}
	return found
}

// What is wrong in a chapter is said at its call or hop, and the clean ones say nothing.
func TestProblems(t *testing.T) {
	chains := Build(story.Events())
	problems := func(name string) string {
		e := story.Named(name)
		h := find(t, chains, e.Token.Ref)
		for _, c := range h.Calls {
			if c.Event == e.ID {
				return strings.Join(append(h.Problems, c.Problems...), "; ")
			}
		}
		return "no such call"
	}
	for name, want := range map[string]string{
		"deploy-call": "", "merge-call": "", "read-diff-call": "", "branch-call": "", "delete-call": "",
		"refund-call": "ran although the decision was deny",
		"export-call": "scope widened by crm:export",
	} {
		if got := problems(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func exchange(from, to string, at event.Time) *event.Event {
	return &event.Event{ID: event.NewID("acme", "sts", from+to, at), Tenant: "acme", Kind: event.TokenExchange, Outcome: event.Success, Time: at,
		Exchange: event.Exchange{SubjectTokenRef: event.TokenRef(from), IssuedTokenRef: event.TokenRef(to)}}
}

func TestTree(t *testing.T) {
	var events []*event.Event
	for _, e := range without("exchange-deploy") {
		if e.Correlation.TaskID == "task-delegation" || e.Source.EventID == "alice-login" {
			events = append(events, e)
		}
	}
	var sb strings.Builder
	if err := Build(events)[0].WriteTree(&sb); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"tenant acme, 2 hops, 1 missing", "alice (human)", "planner (agent) for alice (human)", "github-mcp (server) for alice (human)",
		"MISSING: the exchange that issued this token was not seen; placed here by its act claim and the same task",
		"call deploy_service at deploy-mcp, success", "allow by opa mcp/tools@2026-09-28", story.Named("deploy-call").Token.Ref, "lives 2m0s", "(-repo:write)",
	} {
		if !strings.Contains(sb.String(), want) {
			t.Errorf("no %q in\n%s", want, sb.String())
		}
	}
}
