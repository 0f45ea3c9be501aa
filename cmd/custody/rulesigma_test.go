package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

var sigmaExamples = filepath.Join("..", "..", "docs", "examples", "sigma")

// sigmaTrials are what each example has to find in the story and these events, and
// events that lack only what it is about. Events are named for what they are.
var sigmaTrials = map[string]struct {
	events []*event.Event
	want   []string
}{
	"destructive_tool_called": {
		[]*event.Event{
			varied("purge", "merge-call", func(e *event.Event) { e.Tool.Name = "purge_branches" }),
			varied("not at the beginning", "merge-call", func(e *event.Event) { e.Tool.Name = "list_purge_jobs" }),
			varied("refused", "merge-call", func(e *event.Event) { e.Tool.Name, e.Outcome = "drop_database", event.Denied }),
			varied("by a human", "merge-call", func(e *event.Event) { e.Tool.Name, e.Actor.Type = "drop_database", event.Human }),
		},
		[]string{"export-call", "purge", "report-call"},
	},
	"many_refusals": {
		[]*event.Event{
			varied("once", "triage-call", refusedTo("a", 0)), varied("an hour later", "triage-call", refusedTo("a", 61*time.Minute)),
			varied("of another", "triage-call", refusedTo("b", 0)), varied("again", "triage-call", refusedTo("b", 59*time.Minute)),
		},
		[]string{"again", "branch-refused-call", "delete-call", "of another"},
	},
	"many_servers": {
		[]*event.Event{
			varied("here", "merge-call", at("x", "one-mcp", 0)), varied("there", "merge-call", at("x", "two-mcp", 19*time.Minute)),
			varied("later here", "merge-call", at("y", "one-mcp", 0)), varied("later there", "merge-call", at("y", "two-mcp", 21*time.Minute)),
			varied("twice", "merge-call", at("z", "one-mcp", 0)), varied("the same", "merge-call", at("z", "one-mcp", time.Minute)),
		},
		[]string{"backlog-call", "customer-call", "export-call", "here", "invoices-call", "late-close-call", "notes-call", "payslip-call", "refund-call", "report-call",
			"salaries-august-call", "salaries-september-call", "there", "triage-call"},
	},
	"refused_then_done": {
		[]*event.Event{
			varied("no", "triage-call", refusedTo("a", 0)), varied("two minutes later", "triage-call", at("a", "tickets-mcp", 2*time.Minute)),
			varied("done", "triage-call", at("b", "tickets-mcp", 0)), varied("then refused", "triage-call", refusedTo("b", 10*time.Second)),
		},
		[]string{"branch-call", "branch-refused-call"},
	},
	"tool_from_outside": {
		[]*event.Event{
			varied("outside", "triage-call", from("203.0.113.9")), varied("outside, IPv6 with a port", "merge-call", from("[2001:db8::7]:51522")),
			varied("inside", "payslip-call", from("10.2.3.4:51522")), varied("inside, IPv6", "notes-call", from("fd00::7")), varied("a name", "export-call", from("gateway")),
		},
		[]string{"outside", "outside, IPv6 with a port"},
	},
	"wide_scope_exchanged": {
		[]*event.Event{
			varied("given", "exchange-crm", func(e *event.Event) { e.Exchange.GrantedScope = []string{"crm:read", "crm:admin"} }),
			varied("held", "exchange-notes", func(e *event.Event) { e.Token.Scope = []string{"*"} }),
			varied("of a longer word", "exchange-payments", func(e *event.Event) { e.Exchange.GrantedScope = []string{"crm:administer"} }),
			varied("called with", "merge-call", func(e *event.Event) { e.Token.Scope = []string{"repo:admin"} }),
		},
		[]string{"given", "held"},
	},
}

// varied is an event of the story as another of that name, changed.
func varied(name, of string, change func(*event.Event)) *event.Event {
	e := story.Named(of)
	e.Source.EventID, e.Source.Sequence = name, 0
	change(e)
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// at makes it a call of an actor at a server, so much later.
func at(actor, server string, later time.Duration) func(*event.Event) {
	return func(e *event.Event) { e.Actor.Sub, e.Server.ID, e.Time = actor, server, e.Time.Add(later) }
}

func refusedTo(actor string, later time.Duration) func(*event.Event) {
	return func(e *event.Event) { e.Actor.Sub, e.Outcome, e.Time = actor, event.Denied, e.Time.Add(later) }
}

func from(address string) func(*event.Event) {
	return func(e *event.Event) { e.ClientAddress = address }
}

// Each example of the documentation finds what it is for, and spares what only looks
// like it, as docs/analyst.md tries one.
func TestSigmaRules(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sigmaExamples, "*.yml"))
	if err != nil || len(files) != len(sigmaTrials) {
		t.Errorf("%d examples, %d trials, %v", len(files), len(sigmaTrials), err)
	}
	for _, file := range files {
		rule := strings.TrimSuffix(filepath.Base(file), ".yml")
		t.Run(rule, func(t *testing.T) {
			trial, ok := sigmaTrials[rule]
			if !ok {
				t.Fatal("it is not tried")
			}
			if diff := cmp.Diff(trial.want, tryRule(t, rule, append(story.Events(), trial.events...))); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// tryRule returns the names of the events that an example finds among these.
func tryRule(t *testing.T, rule string, events []*event.Event) (found []string) {
	t.Helper()
	var day bytes.Buffer
	names := map[string]string{}
	for _, e := range events {
		day.Write(append(e.Canonical(), '\n'))
		names[e.ID] = e.Source.EventID
	}
	file := filepath.Join(t.TempDir(), "day.ndjson")
	if err := os.WriteFile(file, day.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var list []*detect.Finding
	if err := json.Unmarshal([]byte(ask(t, "rule", "test", rule, "--events", file, "--detect-rules", sigmaExamples, "--output", "json")), &list); err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.Rule != rule {
			t.Errorf("a finding of %s", f.Rule)
		}
		for _, id := range f.Evidence {
			found = append(found, names[id.String()])
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// They are rules as any other, and what is not supported is said.
func TestSigmaRulesAreShown(t *testing.T) {
	if shown := ask(t, "rule", "show", "refused_then_done", "--detect-rules", sigmaExamples); !strings.Contains(shown, "medium, own") || !strings.Contains(shown, "AU-6") || !strings.Contains(shown, "{v0}") {
		t.Errorf("shown: %s", shown)
	}
	bad := t.TempDir()
	if err := os.WriteFile(filepath.Join(bad, "own.yml"), []byte("title: T\nlevel: low\nlogsource: {product: custody}\ndetection: {s: {'tool|windash': a}, condition: s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, "rule", "list", "--detect-rules", bad); err == nil || !strings.Contains(err.Error(), `own.yml: Sigma rule "own": detection.s: tool|windash: modifier windash is not supported`) {
		t.Errorf("a construct that is not supported: %v", err)
	}
}
