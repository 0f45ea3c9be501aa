package story

import (
	"bytes"
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
)

var update = flag.Bool("update", false, "write story.jsonl and README.md anew")

// golden compares with a file beside the event's schema, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("..", "event", "testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is not what the story tells; go test ./schemas/story -update (-file +story):\n%s", name, diff)
	}
}

func TestGolden(t *testing.T) {
	var b bytes.Buffer
	for _, e := range Events() {
		b.Write(e.Canonical())
		b.WriteByte('\n')
	}
	golden(t, "story.jsonl", b.Bytes())
}

func TestReadme(t *testing.T) {
	golden(t, "README.md", readme())
}

func TestEventsAreValid(t *testing.T) {
	for _, e := range Events() {
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", e.Source.EventID, err)
		}
		back, err := event.Decode(e.Canonical())
		if err != nil {
			t.Errorf("%s: %v", e.Source.EventID, err)
			continue
		}
		if diff := gocmp.Diff(e, back); diff != "" {
			t.Errorf("%s changed on the way through JSON (-before +after):\n%s", e.Source.EventID, diff)
		}
	}
}

func TestEventsAreOrdered(t *testing.T) {
	if !slices.IsSortedFunc(Events(), func(a, b *event.Event) int { return cmp.Compare(a.Time, b.Time) }) {
		t.Error("events are not in the order of time")
	}
}

func TestEventsShareNoMemory(t *testing.T) {
	lists := func(e *event.Event) [][]string {
		return [][]string{e.Token.Scope, e.Token.Audience, e.Exchange.SubjectScope, e.Exchange.RequestedScope, e.Exchange.GrantedScope}
	}
	events := Events()
	for _, e := range events {
		for _, list := range lists(e) {
			for i := range list {
				list[i] += "!"
			}
		}
	}
	for _, e := range events {
		for _, s := range slices.Concat(lists(e)...) {
			if strings.Count(s, "!") > 1 {
				t.Fatalf("%s: %q: a list belongs to more than one field", e.Source.EventID, s)
			}
		}
	}
	if s := Named("merge-call").Token.Scope[0]; s != "repo:write" {
		t.Errorf("an event given away before changed to %q", s)
	}
}

// chain is the delegation of an event as text, origin first.
func chain(e *event.Event) string {
	hops := []string{e.Subject.Sub}
	for _, l := range slices.Backward(e.Chain) {
		hops = append(hops, l.Sub)
	}
	return strings.Join(append(hops, e.Server.ID), " -> ")
}

func TestChapters(t *testing.T) {
	told := 0
	for _, c := range Chapters() {
		told += len(c.Events)
		last := Named(c.Events[len(c.Events)-1])
		for _, name := range c.Events {
			e := Named(name)
			if e.Tenant != c.Tenant {
				t.Errorf("%s: tenant %q in a chapter of %q", name, e.Tenant, c.Tenant)
			}
			if e.Kind == event.ToolInvocation {
				last = e
			}
		}
		if got := chain(last); got != c.Chain {
			t.Errorf("%s: the chain at %s is %q, the chapter says %q", c.Name, last.Source.EventID, got, c.Chain)
		}
	}
	if n := len(Events()); n != told {
		t.Errorf("%d events, %d of them told in chapters", n, told)
	}
}

func TestTokensAreTheRefsInUse(t *testing.T) {
	named := map[string]bool{"": true, apiKeyRef(): true}
	for _, text := range Tokens() {
		named[event.TokenRef(text)] = true
	}
	for _, e := range Events() {
		for _, ref := range []string{e.Token.Ref, e.Exchange.SubjectTokenRef, e.Exchange.ActorTokenRef, e.Exchange.IssuedTokenRef} {
			if !named[ref] {
				t.Errorf("%s: %s belongs to no token of the story", e.Source.EventID, ref)
			}
		}
	}
}

func apiKeyRef() string { return Named("key-found").Token.Ref }
