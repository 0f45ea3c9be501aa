package verdict_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// restart forgets everything and tells this instead.
func (b *bench) restart(events ...*event.Event) {
	b.Helper()
	b.empty()
	b.engine = b.newEngine()
	b.store(events...)
	b.once()
}

// said is the line about a call.
func (b *bench) said(tenant, call string) string {
	b.Helper()
	for _, line := range b.told()[tenant] {
		if strings.HasPrefix(line, call+": ") {
			return strings.TrimPrefix(line, call+": ")
		}
	}
	return ""
}

// Nobody decided is one thing, and that nobody who decides is connected another:
// it takes a source that decided about the server before and was heard of after.
func TestNobodyDecided(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const unseen, unconnected = "no_decision_seen by -, legitimate, narrowed", "no_decision_source by -, legitimate, narrowed"
	decisions := func(change func(*event.Event)) []*event.Event {
		events := story.Events()
		for _, e := range events {
			if e.Source.ID == "globex-pdp" {
				change(e)
			}
		}
		return events
	}
	for name, x := range map[string]struct {
		events []*event.Event
		want   string
	}{
		"a source covers it":      {story.Events(), unseen},
		"the source falls silent": {without("payments-decision"), unconnected},
		"it never decided there":  {decisions(func(e *event.Event) { e.Server.ID = "billing-mcp" }), unconnected},
		"it only infers denials":  {decisions(func(e *event.Event) { e.Decision.Inferred = true }), unconnected},
		"it has no policy there":  {decisions(func(e *event.Event) { e.Decision.Effect, e.Outcome = event.NotApplicable, event.Failure }), unconnected},
	} {
		b.restart(x.events...)
		if got := b.said("globex", "notes-call"); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
	rows := b.count("SELECT count() FROM verdict_states")
	b.restart(without("payments-decision", "payments-call")...)
	before := b.said("globex", "notes-call")
	b.store(story.Named("payments-decision"))
	b.once()
	if after := b.said("globex", "notes-call"); before != unconnected || after != unseen {
		t.Errorf("%s, and when the source is heard of: %s", before, after)
	}
	if n := b.count("SELECT count() FROM verdict_states"); n != rows-1 {
		t.Errorf("%d rows: to hear of a source wrote some", n)
	}
}

// Who issued a token: its issuer's source covers the time of the issue, or it does not.
func TestNobodyIssued(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, x := range map[string]struct {
		without []string
		call    string
		want    string
	}{
		"withheld by a source that is there": {[]string{"exchange-deploy"}, "deploy-call", "decided_allow by deploy-decision (decision_id), orphan, unknown"},
		"the source was not there yet":       {[]string{"exchange-github", "alice-login", "exchange-deploy"}, "merge-call", "decided_allow by merge-decision (decision_id), issuer_not_connected, unknown"},
		"only the cache's answer is there":   {[]string{"exchange-search"}, "search-issues-call", "decided_allow by search-issues-decision (decision_id), legitimate, cached"},
	} {
		b.restart(without(x.without...)...)
		if got := b.said("acme", x.call); got != x.want {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

// What the token itself says.
func TestTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, x := range map[string]struct {
		change func(*event.Event)
		want   string
	}{
		"none is presented":        {func(e *event.Event) { e.Token = event.Token{} }, "absent, none"},
		"it had expired":           {func(e *event.Event) { e.Token.ExpiresAt = e.Time - 1 }, "expired, narrowed"},
		"it is static":             {func(e *event.Event) { e.Token.Static = true }, "static, none"},
		"it is for another server": {func(e *event.Event) { e.Token.Audience = []string{"https://elsewhere.example"} }, "passthrough, narrowed"},
		"it is for the id":         {func(e *event.Event) { e.Token.Audience = []string{"billing-mcp"} }, "legitimate, narrowed"},
		"nobody says for whom":     {func(e *event.Event) { e.Token.Audience = nil }, "legitimate, narrowed"},
	} {
		events := story.Events()
		for _, e := range events {
			if e.Source.EventID == "payments-call" {
				x.change(e)
			}
		}
		b.restart(events...)
		if got := b.said("globex", "payments-call"); !strings.HasSuffix(got, ", "+x.want) {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
}

// A caller that names its decision is not given another one, and neither error
// nor not_applicable lifts a deny.
func TestWhichDecisionCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	events := without("delete-decision")
	for _, e := range events {
		if e.Source.EventID == "branch-refused-decision" { // of another call, and now of the same tool and trace
			other := story.Named("delete-decision")
			e.Tool, e.Token, e.Correlation.TraceID, e.Time = other.Tool, other.Token, other.Correlation.TraceID, other.Time
			e.Correlation.JSONRPCID = ""
			e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		}
	}
	b.restart(events...)
	if got := b.said("acme", "delete-call"); got != "denied by -, legitimate, narrowed" {
		t.Errorf("the decision that the call names is not there: %s", got)
	}
	later := func(effect event.Effect, outcome event.Outcome) *event.Event {
		e := story.Named("refund-decision")
		e.Source.EventID, e.Source.Sequence, e.Time = "refund-later", 0, e.Time.Add(100*time.Millisecond)
		e.Decision.Effect, e.Outcome, e.Decision.Reason = effect, outcome, ""
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		return e
	}
	for effect, want := range map[event.Effect]string{
		event.EffectError: "decided_deny_but_ran by refund-decision (token_jsonrpc)", event.NotApplicable: "decided_deny_but_ran by refund-decision (token_jsonrpc)",
		event.Allow: "decided_allow by refund-later (token_jsonrpc)",
	} {
		b.restart(story.Events()...)
		b.store(later(effect, map[event.Effect]event.Outcome{event.EffectError: event.Error, event.NotApplicable: event.Failure, event.Allow: event.Success}[effect]))
		b.once()
		if got := b.said("globex", "refund-call"); !strings.HasPrefix(got, want) {
			t.Errorf("%s after the deny: %s, want %s", effect, got, want)
		}
	}
}

// The chains are built by other code from the events themselves, and name the
// same decisions.
func TestDecisionsOfChains(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.restart(story.Events()...)
	var got, want []string
	for _, v := range b.verdicts() {
		line := v.ID.String()
		if v.DecidedBy != nil {
			line += " " + v.DecidedBy.Event.String()
		}
		got = append(got, line)
	}
	for _, c := range chain.Build(without("report-call-again")) {
		c.Root.Walk(func(h *chain.Hop, _ int) {
			for _, call := range h.Calls {
				line := call.Event
				if call.Decision != nil {
					line += " " + call.Decision.Event
				}
				want = append(want, line)
			}
		})
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-chains +verdicts):\n%s", diff)
	}
}

// A trace in which one tool is called a thousand times: each call has the
// decision before it where nobody knows JSON-RPC ids, and its own where both do.
func TestLongTrace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	decision, call := story.Named("customer-decision"), story.Named("customer-call")
	for name, id := range map[string]func(int) string{"without ids": func(int) string { return "" }, "with ids": func(i int) string { return fmt.Sprint(i) }} {
		var events []*event.Event
		for i := range 1000 {
			for _, of := range []*event.Event{decision, call} {
				e := *of
				e.Source.EventID, e.Source.Sequence, e.Correlation.JSONRPCID = fmt.Sprintf("%s %d", of.Kind, i), 0, id(i)
				e.Time = of.Time.Add(time.Duration(i) * time.Second)
				if of == call && id(i) != "" {
					e.Time = e.Time.Add(-10 * time.Second) // there the time says nothing
				}
				e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
				events = append(events, &e)
			}
		}
		b.restart(events...)
		lines := b.told()["globex"]
		for _, line := range lines {
			of := strings.TrimPrefix(line[:strings.Index(line, ":")], "tool_invocation ")
			if !strings.Contains(line, ": decided_allow by permission_decision "+of+" (") {
				t.Fatalf("%s: %s", name, line)
			}
		}
		if len(lines) != 1000 {
			t.Errorf("%s: %d calls", name, len(lines))
		}
	}
}

// Ten thousand calls with a token whose exchange is heard of last are all judged
// anew, in one round, and those of other tokens are not.
func TestFanOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const n = 10_000
	var calls []*event.Event
	call := story.Named("deploy-call")
	for i := range n {
		e := *call
		e.Source.EventID, e.Source.Sequence, e.Time = fmt.Sprint("call-", i), 0, e.Time.Add(time.Duration(i)*time.Millisecond)
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		calls = append(calls, &e)
	}
	b.restart(append(without("exchange-deploy", "report-call-again"), calls...)...)
	count := func(word string) uint64 {
		return b.count("SELECT count() FROM verdicts WHERE startsWith(tool_name, 'deploy_') AND has([token_verdict, toString(exchange_verdict)], '" + word + "')")
	}
	if orphans := count("orphan"); orphans != n+1 {
		t.Errorf("%d orphans", orphans)
	}
	b.store(story.Named("exchange-deploy"))
	before, began := b.count("SELECT count() FROM verdict_states"), time.Now()
	b.once()
	if legitimate, cached := count("legitimate"), count("cached"); legitimate != n+1 || cached != n {
		t.Errorf("%d legitimate, %d cached", legitimate, cached)
	}
	if wrote := b.count("SELECT count() FROM verdict_states") - before; wrote > n+1 {
		t.Errorf("%d rows written", wrote)
	}
	t.Logf("%d calls judged again in %s", n+1, time.Since(began))
}
