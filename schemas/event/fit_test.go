package event_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

func TestFitLeavesWhatFits(t *testing.T) {
	for _, e := range story.Events() {
		was := *e
		e.Fit()
		if diff := cmp.Diff(&was, e); diff != "" {
			t.Errorf("%s changed:\n%s", was.ID, diff)
		}
	}
}

func TestFitMakesEverythingValid(t *testing.T) {
	long, broken := strings.Repeat("ä", event.MaxString), "a\xffb"
	e := story.Named("deploy-call")
	e.Tool.Name, e.UserAgent, e.Client.Name = long, broken, strings.Repeat("\xff", event.MaxString)
	e.Tool.Arguments = `"` + strings.Repeat("x", event.MaxArguments) + `"`
	e.ChainRaw = "\xff"
	for range 2 * event.MaxList {
		e.Tool.ArgumentNames = append(e.Tool.ArgumentNames, long)
		e.Chain = append(e.Chain, event.Link{Sub: broken})
	}
	e.Attributes = map[string]string{"": "x", long: "x", "k": long}
	e.Tool.Annotations = map[string]bool{broken: true, "readOnlyHint": true}
	for i := range 100 {
		e.Attributes[strings.Repeat("n", i+1)] = broken
	}
	e.Tool.ArgumentNames = e.Tool.ArgumentNames[:100] // what is left over is a matter of the event's size
	e.Fit()
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(e.Tool.Name) != event.MaxString || e.UserAgent != "a\uFFFDb" || e.Tool.Arguments+e.ChainRaw != "" ||
		len(e.Chain) != event.MaxChain || len(e.Attributes) != event.MaxAttributes || len(e.Tool.Annotations) != 1 {
		t.Errorf("event %s", e.Canonical())
	}
	said := strings.Join(e.Warnings, "\n")
	for _, want := range []string{"tool.name cut: 4096 bytes, at most 2048", "user_agent was not UTF-8", "tool.arguments left out", "chain cut: ", "attributes 39 entries left out", "tool.annotations 1 entries left out"} {
		if !strings.Contains(said, want) {
			t.Errorf("no warning %q in\n%s", want, said)
		}
	}
	was := *e
	if e.Fit(); cmp.Diff(&was, e) != "" {
		t.Error("fitting twice is not the same as once")
	}
}

// Many entries that each fit are not too large together: nobody keeps an event out
// of the record by naming two hundred long arguments.
func TestFitWhole(t *testing.T) {
	long := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint(i)+strings.Repeat("\x01", event.MaxString-10)) // six bytes each, escaped
		}
		return list
	}
	e := story.Named("deploy-call")
	e.Tool.ArgumentNames, e.Token.Scope, e.Warnings = long(256), long(200), long(100)
	e.Attributes = map[string]string{}
	for i := range 60 {
		e.Attributes[fmt.Sprint(i)] = strings.Repeat("a", event.MaxString)
	}
	e.Fit()
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	if e.Tool.Name == "" || e.Token.Ref == "" || !slices.Contains(e.Warnings, "tool.argument_names left out: the event is too large") {
		t.Errorf("tool %q, token %q, warnings %d", e.Tool.Name, e.Token.Ref, len(e.Warnings))
	}
}
