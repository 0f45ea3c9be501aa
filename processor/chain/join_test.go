package chain

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// of returns the events of the deployment, each changed.
func of(change func(e *event.Event)) []*event.Event {
	var out []*event.Event
	for _, name := range []string{"alice-login", "exchange-github", "merge-decision", "merge-call", "exchange-deploy", "deploy-decision", "deploy-call"} {
		e := story.Named(name)
		change(e)
		out = append(out, e)
	}
	return out
}

func named(e *event.Event, name string) bool { return e.Source.EventID == name }

// What sources leave out makes joins weaker, and the chain says so.
func TestJoinsOfHops(t *testing.T) {
	token := story.Named("deploy-call").Token.Ref
	for name, c := range map[string]struct {
		change  func(e *event.Event)
		want    Join
		missing bool
	}{
		"all there": {func(*event.Event) {}, ByLineage, false},
		"the exchange names the jti of what it issued": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Exchange.IssuedTokenRef = ""
				e.Attributes = map[string]string{"keycloak.issued_token_jti": story.Named("deploy-call").Token.JTI}
			}
		}, ByTokenID, false},
		"the exchange names nothing, and stood for the token": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Exchange.IssuedTokenRef = ""
			}
		}, ByValidity, false},
		"the exchange names nothing, and had ended": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Exchange.IssuedTokenRef = ""
				e.Time -= 3_600_000_000
			}
		}, ByTask, true},
		"the exchange names nothing, and was for another server": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Exchange.IssuedTokenRef = ""
				e.Exchange.Resource = []string{"https://elsewhere.example"}
			}
		}, ByTask, true},
		"the exchange was refused": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Outcome = event.Denied
			}
		}, ByTask, true},
		"no task, but a transaction": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Outcome = event.Denied
			}
			e.Correlation.TaskID, e.Correlation.TransactionID = "", "txn"
		}, ByTransaction, true},
		"a trace only": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Outcome = event.Denied
			}
			e.Correlation.TaskID = ""
		}, ByTrace, true},
		"nothing but the claim": {func(e *event.Event) {
			if named(e, "exchange-deploy") {
				e.Outcome = event.Denied
			}
			e.Correlation = event.Correlation{}
		}, ByClaim, true},
	} {
		chains := Build(of(c.change))
		h := find(t, chains, token)
		if h.Join != c.want || h.Strength != c.want.Strength() || (h.Missing != nil) != c.missing {
			t.Errorf("%s: joined by %s (%s), missing %+v; want %s", name, h.Join, h.Strength, h.Missing, c.want)
		}
		if got, want := holders(chains, story.Named("deploy-call").ID), "alice -> planner -> github-mcp -> deploy-mcp"; got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Whichever event of the story is withheld, the chain at every other chapter's and
// its own last call is still the one that the story says.
func TestStoryWithEventsWithheld(t *testing.T) {
	last := map[string]string{} // event id to the chapter's chain
	for _, c := range story.Chapters() {
		id := ""
		for _, name := range c.Events {
			if e := story.Named(name); e.Kind == event.ToolInvocation {
				id = e.ID
			}
		}
		if id != "" {
			last[id] = c.Chain
		}
	}
	events := story.Events()
	for _, withheld := range events {
		var rest []*event.Event
		for _, e := range events {
			if e.ID != withheld.ID {
				rest = append(rest, e)
			}
		}
		chains := Build(rest)
		for id, want := range last {
			if got := holders(chains, id); got != want && id != withheld.ID {
				t.Errorf("without %s: %s, want %s", withheld.Source.EventID, got, want)
			}
		}
	}
}

// A call that does not say which token it was made with finds its hop all the same.
func TestJoinsOfCalls(t *testing.T) {
	silent := func(also func(e *event.Event)) func(e *event.Event) {
		return func(e *event.Event) {
			if named(e, "deploy-call") {
				e.Token.Ref = ""
				also(e)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(e *event.Event)
		want   Join
		place  string
	}{
		"the jti":                  {silent(func(*event.Event) {}), ByTokenID, "token"},
		"holder, server and trace": {silent(func(e *event.Event) { e.Token = event.Token{} }), ByTrace, "token"},
		"holder, server and time":  {silent(func(e *event.Event) { e.Token, e.Correlation.TraceID = event.Token{}, "" }), ByValidity, "token"},
		"another jti":              {silent(func(e *event.Event) { e.Token = event.Token{JTI: "another"} }), "", "apart"},
		"another server": {silent(func(e *event.Event) {
			e.Token, e.Correlation = event.Token{}, event.Correlation{}
			e.Server = event.Server{ID: "other", URI: "https://other.example"}
		}), "", "apart"},
		"another subject": {silent(func(e *event.Event) { e.Token, e.Subject.Sub = event.Token{}, "mallory" }), "", "apart"},
		"nobody": {silent(func(e *event.Event) {
			e.Token, e.Subject, e.Actor, e.Chain = event.Token{}, event.Party{}, event.Party{}, nil
		}), "", "apart"},
	} {
		found := ""
		for _, chain := range Build(of(c.change)) {
			chain.Root.Walk(func(h *Hop, _ int) {
				for _, call := range h.Calls {
					if call.Event != story.Named("deploy-call").ID {
						continue
					}
					found = "token"
					if h.TokenRef == "" {
						found = "apart"
					}
					if call.Join != c.want || call.Strength != c.want.Strength() {
						t.Errorf("%s: joined by %q (%s), want %q", name, call.Join, call.Strength, c.want)
					}
				}
			})
		}
		if found != c.place {
			t.Errorf("%s: the call is %q, want %q", name, found, c.place)
		}
	}
}

// A claim that says something else than the exchanges is shown.
func TestContradictions(t *testing.T) {
	mallory := event.Link{Iss: "https://idp.acme.example", Sub: "mallory"}
	for name, c := range map[string]struct {
		change func(e *event.Event)
		want   string
	}{
		"in order": {func(*event.Event) {}, ""},
		"the claim has another history than the exchanges": {func(e *event.Event) {
			if e.Token.Ref == story.Named("deploy-call").Token.Ref || named(e, "exchange-deploy") {
				e.Chain[1] = mallory
			}
		}, "the act claim says mallory before github-mcp, the exchanges say planner"},
		"the call names another actor than the exchange": {func(e *event.Event) {
			if named(e, "deploy-call") {
				e.Chain[0] = mallory
			}
		}, "events name two act claims of this token, github-mcp < planner and mallory < planner"},
		"another subject": {func(e *event.Event) {
			if e.Token.Ref == story.Named("deploy-call").Token.Ref || named(e, "exchange-deploy") {
				e.Subject.Sub = "bob"
			}
		}, "the subject changed from alice to bob"},
		"nested by the actor's token, which says nothing": {func(e *event.Event) { e.ChainRule = event.ActorChained }, ""},
		"flat, in no order": {func(e *event.Event) {
			if len(e.Chain) == 2 {
				e.Chain, e.ChainRule = []event.Link{e.Chain[0], mallory}, event.Flat
			}
		}, ""},
		"it could not be read": {func(e *event.Event) {
			if named(e, "deploy-call") {
				e.ChainMalformed = "act is a list"
			}
		}, "its act claim could not be read whole: act is a list"},
	} {
		h := find(t, Build(of(c.change)), story.Named("deploy-call").Token.Ref)
		if got := strings.Join(h.Problems, "; "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if h.ChainRaw == "" || h.ChainRule == "" {
			t.Errorf("%s: the claim as it came is not kept: rule %q, raw %q", name, h.ChainRule, h.ChainRaw)
		}
	}
	// Nested by the actor's token, of which another claim is known.
	own := event.TokenRef("token: github-mcp workload")
	events := of(func(e *event.Event) { e.ChainRule = event.ActorChained })
	for _, e := range events {
		if len(e.Chain) == 2 {
			e.Chain[1] = mallory
		}
	}
	workload := story.Named("deploy-call")
	workload.ID, workload.Time, workload.Token = event.NewID("acme", "x", "own", 1), 1, event.Token{Ref: own}
	workload.Chain = []event.Link{{Iss: mallory.Iss, Sub: "someone"}}
	h := find(t, Build(append(events, workload)), story.Named("deploy-call").Token.Ref)
	if got := strings.Join(h.Problems, "; "); got != "the act claim says mallory before github-mcp, the exchanges say someone" {
		t.Errorf("against the actor's token: %q", got)
	}
}

func TestUsedAfterItsEnd(t *testing.T) {
	h := find(t, Build(story.Events()), story.Named("runner-issued").Token.Ref)
	if h.RevokedAt != story.Named("runner-revoked").Time || len(h.Calls) != 2 || len(h.Calls[0].Problems) != 0 {
		t.Fatalf("%+v", h)
	}
	if diff := cmp.Diff([]string{"the token had been revoked"}, h.Calls[1].Problems); diff != "" {
		t.Error(diff)
	}
}

// Whatever an event says, it stays in its place: one box, one line, no syntax.
func TestNamesAreOnlyNames(t *testing.T) {
	const evil = "x\"]; evil -> y [label=\"\n| call %s\x1b[2J\u202e<b>\\l`;%%{init}%% --> z"
	chains := Build(of(func(e *event.Event) {
		e.Subject.Sub, e.Server.ID, e.Token.Scope = evil, evil, []string{evil}
		e.Tool.Name, e.Decision.Reason, e.Decision.Policy, e.Source.ID = evil, evil, evil, evil
		if len(e.Chain) > 0 {
			e.Actor.Sub, e.Chain[0].Sub = evil, evil
		}
	}))
	write := func(how func(*strings.Builder) error) []string {
		var sb strings.Builder
		if err := how(&sb); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(sb.String(), "\x1b\u202e\r") {
			t.Errorf("a terminal would obey\n%s", sb.String())
		}
		return strings.Split(strings.TrimSuffix(sb.String(), "\n"), "\n")
	}
	quoted := `"([^"\\]|\\.)*"`
	dot := regexp.MustCompile(`^(digraph custody \{|\}|  (rankdir=TB|node \[[^\]]*\]);|  c\d+n\d+( -> c\d+n\d+)? \[label=` + quoted + `(, (shape|style|color)=[a-z]+)*\];)$`)
	for _, line := range write(func(sb *strings.Builder) error { return WriteDOT(sb, chains) }) {
		if !dot.MatchString(line) {
			t.Errorf("dot: %s", line)
		}
	}
	text := `"([A-Za-z0-9 .,-]|#\d+;|<br/>)*"`
	mermaid := regexp.MustCompile(`^(flowchart TD|  c\d+n\d+(\[` + text + `\]|\(\[` + text + `\]\))|  c\d+n\d+ -\.?->?(\|` + text + `\|)? c\d+n\d+|  style c\d+n\d+ stroke[a-z0-9:#-]+)$`)
	for _, line := range write(func(sb *strings.Builder) error { return WriteMermaid(sb, chains) }) {
		if !mermaid.MatchString(line) {
			t.Errorf("mermaid: %s", line)
		}
	}
	lines := write(func(sb *strings.Builder) error { return WriteTimeline(sb, chains) })
	if len(lines) != 7 {
		t.Errorf("%d lines of 7 events:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	for _, line := range write(func(sb *strings.Builder) error { return chains[0].WriteTree(sb) }) {
		if strings.HasPrefix(line, "|") {
			t.Errorf("tree: %s", line)
		}
	}
}

func TestTimeline(t *testing.T) {
	var got []string
	for _, m := range Timeline(Build(of(func(*event.Event) {}))) {
		got = append(got, m.Holder.Sub+": "+m.What)
	}
	want := []string{
		"alice: credential.issued sha256:wMwkOcffVnpiR...",
		"planner: exchange for planner (agent) for alice (human): repo:write deploy:run, sha256:7K6ayLZhmKocg...",
		"planner: allow by opa mcp/tools@2026-09-28 [decision_id] on merge_pull_request at github-mcp",
		"planner: merge_pull_request at github-mcp, success",
		"github-mcp: exchange for github-mcp (server) for alice (human): deploy:run, sha256:MPQjuiyV4opqP...",
		"github-mcp: allow by opa mcp/tools@2026-09-28 [decision_id] on deploy_service at deploy-mcp",
		"github-mcp: deploy_service at deploy-mcp, success",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
}
