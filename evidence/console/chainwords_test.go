package console

import (
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

// summary writes what is told as one line.
func (t *told) summary() string {
	var through, decided []string
	for _, p := range t.Through {
		through = append(through, nameOf(p))
	}
	for _, a := range t.Allowed {
		effect := "none"
		if a.Decision != nil {
			effect = string(a.Effect) + " by " + a.Engine
		}
		decided = append(decided, effect+" on "+a.What)
	}
	return nameOf(t.Who) + " for " + nameOf(t.Behalf) + " through " + strings.Join(through, " ") + ": " + strings.Join(decided, "; ") + "; " + string(t.Sure)
}

// What is told of the story's calls is what happened in them.
func TestTellStory(t *testing.T) {
	chains := chain.Build(story.Events())
	for name, want := range map[string]string{
		"deploy-call": "github-mcp for alice through planner: allow by opa on deploy_service at deploy-mcp; certain",
		"merge-call":  "planner for alice through : allow by opa on merge_pull_request at github-mcp; certain",
	} {
		if got := tell(chains, story.Named(name).ID).summary(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	// The decision, the token and the exchange lead to the same one.
	call := story.Named("deploy-call")
	for _, start := range []string{story.Named("deploy-decision").ID, call.Token.Ref, story.Named("exchange-deploy").ID} {
		if got := tell(chains, start); nameOf(got.Who) != "github-mcp" || nameOf(got.Behalf) != "alice" || got.Calls != 1 {
			t.Errorf("from %s: %s", start, got.summary())
		}
	}
}

// Without the exchange the words say what is missing, and that the join is weaker.
func TestTellMissing(t *testing.T) {
	var events []*event.Event
	for _, e := range story.Events() {
		if e.Source.EventID != "exchange-deploy" {
			events = append(events, e)
		}
	}
	got := tell(chain.Build(events), story.Named("deploy-call").ID)
	if len(got.Missing) != 1 || got.Sure != chain.Strong || got.By != chain.ByTask {
		t.Errorf("missing %v, %s by %s", got.Missing, got.Sure, got.By)
	}
}

// A question that begins with no one call counts the calls that are alike.
func TestTellMany(t *testing.T) {
	got := tell(fanned(40, 0), "sha256:root")
	if got.Calls != 40 || len(got.Allowed) != 1 || got.Allowed[0].Calls != 40 || got.Allowed[0].Decision != nil {
		t.Errorf("%d calls, %+v", got.Calls, got.Allowed)
	}
	if tell(nil, "x") != nil {
		t.Error("something is told of nothing")
	}
}

func TestLasts(t *testing.T) {
	for d, want := range map[time.Duration]string{5 * time.Minute: "5m", time.Hour: "1h", 90 * time.Second: "1m30s", 24*time.Hour + time.Minute: "24h1m", 10 * time.Second: "10s"} {
		if got := lasts(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}
