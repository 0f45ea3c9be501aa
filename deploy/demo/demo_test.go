package demo_test

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/schemas/event"
)

func of(events []*event.Event, keep func(*event.Event) bool) []*event.Event {
	var out []*event.Event
	for _, e := range events {
		if keep(e) {
			out = append(out, e)
		}
	}
	return out
}

func kind(k event.Kind) func(*event.Event) bool {
	return func(e *event.Event) bool { return e.Kind == k }
}

func TestEverythingSentArrives(t *testing.T) {
	in, s := run(t, nil)
	got := map[event.Kind]int{}
	bySource := map[string][]int64{}
	for _, e := range in.events {
		got[e.Kind]++
		if e.Source.Type == "native" {
			bySource[e.Source.ID] = append(bySource[e.Source.ID], e.Source.Sequence)
		}
	}
	if diff := gocmp.Diff(s.Sent, got); diff != "" {
		t.Errorf("arrived and sent differ (-sent +arrived):\n%s", diff)
	}
	if n := s.Total(); n != len(in.events) || n < 300 || n > 1000 {
		t.Errorf("%d events sent, %d arrived, want the same and 300 to 1000", n, len(in.events))
	}
	for _, src := range in.sources {
		n := int64(0)
		for _, number := range bySource[src.Source.ID] {
			if n++; number != n {
				t.Errorf("%s: number %d where %d belongs", src.Source.ID, number, n)
				break
			}
		}
		if n == 0 && src.Source.Type == "native" {
			t.Errorf("%s said nothing", src.Source.ID)
		}
	}
	if s.Took > time.Minute {
		t.Errorf("took %s", s.Took)
	}
}

// A token in any form must not leave the estate.
func TestNoTokenLeaves(t *testing.T) {
	in, _ := run(t, nil)
	secret := regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|\brpt_[A-Z2-7]{26}|\bcst_[A-Za-z0-9_-]{43}|(?i)\bbearer [a-z0-9]`)
	if found := secret.Find(in.bodies.Bytes()); found != nil {
		t.Errorf("a body holds %q", found[:min(len(found), 20)])
	}
	if !strings.Contains(in.bodies.String(), "sha256:") {
		t.Error("the bodies hold no reference: were they looked at?")
	}
	for _, e := range in.events {
		for _, w := range e.Warnings {
			if !strings.Contains(w, "identity lost at the source") {
				t.Errorf("%s of %s: warning %q", e.Kind, e.Source.ID, w)
			}
		}
	}
}

// Every token that is used was issued, and the event says to whom for what.
func TestReferencesJoin(t *testing.T) {
	in, _ := run(t, nil)
	issued := map[string]*event.Event{}
	for _, e := range in.events {
		switch {
		case e.Kind == event.TokenExchange && e.Outcome == event.Success:
			issued[e.Exchange.IssuedTokenRef] = e
		case e.Kind == event.Credential:
			issued[e.Token.Ref] = e
		}
	}
	exchanges := of(in.events, kind(event.TokenExchange))
	for _, x := range exchanges {
		if issued[x.Exchange.SubjectTokenRef] == nil {
			t.Errorf("exchange of %s by %s: its subject token was never issued", x.Subject.Sub, x.Actor.Sub)
		}
		if own := issued[x.Exchange.ActorTokenRef]; own == nil || own.Subject.Sub != x.Actor.Sub || own.Kind != event.Credential {
			t.Errorf("exchange by %s: its actor token is that of %+v", x.Actor.Sub, own)
		}
	}
	calls := of(in.events, kind(event.ToolInvocation))
	for _, c := range calls {
		by := issued[c.Token.Ref]
		if by == nil {
			t.Errorf("%s at %s: token was never issued", c.Tool.Name, c.Server.ID)
			continue
		}
		if by.Kind == event.TokenExchange && (by.Subject != c.Subject || by.Actor != c.Actor || gocmp.Diff(by.Chain, c.Chain) != "" || gocmp.Diff(by.Exchange.GrantedScope, c.Token.Scope) != "") {
			t.Errorf("%s at %s: the exchange says %s by %s %v, the call %s by %s %v", c.Tool.Name, c.Server.ID,
				by.Subject.Sub, by.Actor.Sub, by.Exchange.GrantedScope, c.Subject.Sub, c.Actor.Sub, c.Token.Scope)
		}
		if by.Correlation.TaskID != c.Correlation.TaskID || by.Correlation.TransactionID != c.Correlation.TransactionID {
			t.Errorf("%s at %s: task %q, its token is of task %q", c.Tool.Name, c.Server.ID, c.Correlation.TaskID, by.Correlation.TaskID)
		}
	}
	if len(exchanges) < 50 || len(calls) < 80 {
		t.Errorf("%d exchanges, %d calls", len(exchanges), len(calls))
	}
}

// The servers record which decision let a call happen, and OPA's entry agrees.
func TestDecisionsJoin(t *testing.T) {
	in, _ := run(t, nil)
	decisions := map[string]*event.Event{}
	for _, d := range of(in.events, kind(event.PermissionDecision)) {
		decisions[d.Decision.ID] = d
	}
	undecided := 0
	for _, c := range of(in.events, func(e *event.Event) bool { return e.Type == event.TypeToolCall }) {
		d := decisions[c.Correlation.DecisionID]
		if d == nil {
			undecided++
			continue
		}
		delete(decisions, c.Correlation.DecisionID)
		type joined struct{ subject, actor, server, tool, token, jsonrpc, trace, span, task, txn string }
		of := func(e *event.Event) joined {
			r := e.Correlation
			return joined{e.Subject.Sub, e.Actor.Sub, e.Server.ID, e.Tool.Name, e.Token.Ref, r.JSONRPCID, r.TraceID, r.SpanID, r.TaskID, r.TransactionID}
		}
		if of(d) != of(c) || c.Correlation.JSONRPCID == "" || c.Correlation.TraceID == "" {
			t.Errorf("decision %+v\ncall     %+v", of(d), of(c))
		}
		if denied := d.Decision.Effect == event.Deny; denied != (c.Outcome == event.Denied) && c.Tool.Name != "delete_branch" {
			t.Errorf("%s: decision %s, outcome %s", c.Tool.Name, d.Decision.Effect, c.Outcome)
		}
	}
	if undecided != 3 { // list_webhooks, once per human
		t.Errorf("%d calls without a decision, want 3", undecided)
	}
	if len(decisions) != 0 {
		t.Errorf("%d decisions belong to no call", len(decisions))
	}
}

// fact is what must be the same for the same seed.
type fact struct {
	Kind                                                           event.Kind
	Source, Server, Tool, Subject, Actor, Outcome, Trace, Task, ID string
}

func facts(in *intake) []fact {
	var out []fact
	events := slices.Clone(in.events)
	slices.SortStableFunc(events, func(a, b *event.Event) int { return cmp.Compare(a.Time, b.Time) })
	slices.SortStableFunc(events, func(a, b *event.Event) int { return cmp.Compare(a.Source.ID, b.Source.ID) })
	for _, e := range events {
		out = append(out, fact{e.Kind, e.Source.ID, e.Server.ID, e.Tool.Name, e.Subject.Sub, e.Actor.Sub, string(e.Outcome),
			e.Correlation.TraceID, e.Correlation.TaskID, e.Correlation.JSONRPCID})
	}
	return out
}

func TestSeedDecides(t *testing.T) {
	a, _ := run(t, nil)
	b, _ := run(t, nil)
	c, _ := run(t, func(cfg *demo.Config) { cfg.Seed = 8 })
	if diff := gocmp.Diff(facts(a), facts(b)); diff != "" {
		t.Errorf("the same seed gave something else:\n%s", diff)
	}
	if gocmp.Equal(facts(a), facts(c)) {
		t.Error("another seed gave the same")
	}
}

func TestDrawnScenariosEndInTime(t *testing.T) {
	var last demo.Progress
	in, s := run(t, func(cfg *demo.Config) {
		cfg.Once, cfg.Rate, cfg.Duration = false, 100, time.Second
		cfg.Progress = func(p demo.Progress) { last = p }
	})
	if s.Total() != len(in.events) || s.Calls == 0 {
		t.Errorf("%d events sent, %d arrived, %d calls", s.Total(), len(in.events), s.Calls)
	}
	if s.Calls > 130 { // a second at 100, and what was under way when it was over
		t.Errorf("%d calls in a second at 100 per second", s.Calls)
	}
	if last.Scenarios != s.Scenarios || last.Calls != s.Calls || last.Sent == 0 {
		t.Errorf("last progress %+v, summary %d scenarios, %d calls", last, s.Scenarios, s.Calls)
	}
}

// How far a drawn run comes depends on the machine; what its tasks are does not.
func TestSeedDecidesDrawnTasks(t *testing.T) {
	tasks := func() map[string]fact {
		in, _ := run(t, func(cfg *demo.Config) { cfg.Once, cfg.Duration = false, 300*time.Millisecond })
		out := map[string]fact{}
		for _, e := range in.events {
			if e.Type == event.TypeSessionStarted {
				out[e.Correlation.TaskID] = fact{Source: e.Source.ID, Subject: e.Subject.Sub, Actor: e.Actor.Sub, Trace: e.Correlation.TraceID, ID: e.Correlation.TransactionID}
			}
		}
		return out
	}
	a, b := tasks(), tasks()
	common := 0
	for task, x := range a {
		if y, ok := b[task]; ok {
			common++
			if x != y {
				t.Errorf("%s is %+v and %+v", task, x, y)
			}
		}
	}
	if shorter := min(len(a), len(b)); common != shorter || common < 10 {
		t.Errorf("runs of %d and %d tasks have %d in common", len(a), len(b), common)
	}
}

func TestEndOfContextEndsDrawnRun(t *testing.T) {
	in := newIntake(t)
	ctx, cancel := context.WithCancel(t.Context())
	estate, err := demo.New(demo.Config{
		CollectorURL: in.URL, Keys: demo.Keys(in.sources), Rate: 200, Logger: quiet,
		Progress: func(p demo.Progress) {
			if p.Scenarios == 10 {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := estate.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.Total() != len(in.events) || s.Scenarios < 10 {
		t.Errorf("%d scenarios, %d events sent, %d arrived", s.Scenarios, s.Total(), len(in.events))
	}
}

// While the collector is away nothing is lost and nothing counted twice.
func TestCollectorIsAwayForAWhile(t *testing.T) {
	in := newIntake(t)
	in.away = 20
	s := runAgainst(t, in, nil)
	ids := map[string]bool{}
	for _, e := range in.events {
		ids[e.ID] = true
	}
	if s.Total() != len(in.events) || len(ids) != len(in.events) {
		t.Errorf("%d sent, %d arrived with %d ids", s.Total(), len(in.events), len(ids))
	}
}

func TestRunSaysWhatIsLost(t *testing.T) {
	in := newIntake(t)
	in.away = 1 << 30
	estate, err := demo.New(demo.Config{CollectorURL: in.URL, Keys: demo.Keys(in.sources), Once: true, DrainTimeout: 300 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s, err := estate.Run(t.Context())
	if err == nil {
		t.Fatal("the collector took nothing, and Run does not mind")
	}
	for _, want := range []string{"acme-sts", "globex-github-mcp", "decision log not uploaded"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if s == nil || len(s.Truth) == 0 {
		t.Errorf("the summary is %+v", s)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	_, err := demo.New(demo.Config{Rate: -1})
	if err == nil {
		t.Fatal("an empty config is accepted")
	}
	for _, want := range []string{"CollectorURL", `"acme-sts"`, `"globex-opa"`, "Rate"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestSourcesAreFitForTheCollector(t *testing.T) {
	ids := map[string]bool{}
	for _, s := range demo.NewSources() {
		ids[s.Source.ID] = true
	}
	for _, want := range []string{"acme-github-mcp", "acme-deploy-mcp", "acme-vault-mcp", "acme-sts", "acme-opa", "acme-agents", "globex-legacy-mcp"} {
		if !ids[want] {
			t.Errorf("no source %s", want)
		}
	}
}
