package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/worklist"
	"github.com/custody-audit/custody/schemas/event"
)

// grant is a token exchange that a rule finds something in.
const grant = `{"kind":"token_exchange","type":"token.exchange","time":"%s","outcome":"success","subject":{"sub":"alice"},"actor":{"sub":"planner","type":"agent"},` +
	`"exchange":{"grant_type":"urn:ietf:params:oauth:grant-type:token-exchange","subject_token_ref":"sha256:Cqp62RcPhHQ6Ww7p5uYrJOyMyE0LqKfZ1ArNyP1qS2s","issued_token_ref":"sha256:wqp62RcPhHQ6Ww7p5uYrJOyMyE0LqKfZ1ArNyP1qS2s","granted_scope":["%s"]}}`

func granted(t time.Time, scope string) string {
	return strings.Replace(strings.Replace(grant, "%s", t.UTC().Format(time.RFC3339Nano), 1), "%s", scope, 1)
}

// house is an installation with a source, and how verbs reach it.
type house struct {
	*testing.T
	dir, collector, key string
}

func newHouse(t *testing.T, args ...string) *house {
	t.Helper()
	e := &house{T: t, dir: t.TempDir(), collector: freeAddress(t)}
	sources := filepath.Join(t.TempDir(), "sources.yaml")
	e.key = strings.TrimSpace(ask(t, "source", "add", "sts", "--tenant", "acme", "--collector-sources", sources))
	start(t, "takes events at", append([]string{"run", "--data-dir", e.dir, "--collector-sources", sources, "--collector-http", e.collector, "--collector-grpc", "127.0.0.1:0",
		"--telemetry-address", "", "--detect-interval", "1s"}, args...)...)
	return e
}

func (e *house) send(body string) {
	e.Helper()
	if status, answer := post(e.T, "http://"+e.collector+"/v1/events", e.key, "application/json", "", body); status != http.StatusOK {
		e.Fatalf("%d %s", status, answer)
	}
}

// verb runs one that answers in JSON.
func verb[T any](e *house, args ...string) (out T) {
	e.Helper()
	text := ask(e.T, append(args, "--data-dir", e.dir, "--output", "json")...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		e.Fatalf("%v: %v in %s", args, err, text)
	}
	return out
}

// found waits for the findings of a filter.
func (e *house) found(n int, args ...string) (list []*worklist.Finding) {
	e.Helper()
	eventually(e.T, time.Minute, "findings of "+strings.Join(args, " "), func(context.Context) bool {
		list = verb[[]*worklist.Finding](e, append([]string{"findings", "list"}, args...)...)
		return len(list) == n
	})
	return list
}

// What is found is handled by the verbs of a running installation, and each act is
// an event in the tenant's sealed log.
func TestFindings(t *testing.T) {
	t.Parallel()
	e := newHouse(t)
	now := time.Now()
	e.send(granted(now.Add(-time.Minute), "*"))
	f := e.found(1, "--rule", "wildcard_grant")[0]
	short := f.Key[:12]
	act := func(args ...string) findingAnswer {
		t.Helper()
		return verb[[]findingAnswer](e, append([]string{"findings"}, args...)...)[0]
	}
	for _, x := range []struct {
		args   []string
		status string
	}{
		{[]string{"ack", short, "--comment", "looking"}, worklist.Acknowledged},
		{[]string{"assign", short, "--to", "carol"}, worklist.Assigned},
		{[]string{"comment", short, "--comment", "asked the owner"}, worklist.Assigned},
		{[]string{"except", short, "--until", "30d", "--reason", "CHG-42"}, worklist.Excepted},
		{[]string{"reopen", short, "--reason", "withdrawn"}, worklist.Open},
		{[]string{"resolve", short, "--reason", "narrowed"}, worklist.Resolved},
	} {
		if got := act(x.args...); got.Status != x.status || got.History[len(got.History)-1].ActorSub != "local" {
			t.Errorf("%v: %+v", x.args, got.Finding)
		}
	}
	if out := ask(t, "findings", "list", "--data-dir", e.dir); strings.Contains(out, short) {
		t.Errorf("what is resolved is listed:\n%s", out)
	}
	if out := ask(t, "findings", "list", "--data-dir", e.dir, "--all"); !strings.Contains(out, "resolved") {
		t.Errorf("of every status:\n%s", out)
	}
	out := ask(t, "findings", "show", short, "--data-dir", e.dir)
	for _, want := range []string{"opened", "acknowledged by local", "assigned to carol by local", "asked the owner", "resolved by local", "narrowed"} {
		if !strings.Contains(out, want) {
			t.Errorf("the finding does not tell %q:\n%s", want, out)
		}
	}
	eventually(t, time.Minute, "the acts are events of the tenant", func(context.Context) bool {
		page := verb[struct{ Events []*event.Event }](e, "search", "type:custody.change", "--tenant", "acme")
		return len(page.Events) == 6 && page.Events[0].Attributes["finding"] == f.Key && strings.HasPrefix(page.Events[0].UserAgent, "custody (")
	})
	if out := ask(t, "findings", "verify", "--data-dir", e.dir, "--tenant", "acme", "--grace", "0s"); !strings.Contains(out, "say the same") {
		t.Errorf("verified:\n%s", out)
	}
	e.send(granted(now, "*"))
	if again := e.found(1, "--rule", "wildcard_grant", "--assignee", "carol")[0]; again.Key != f.Key || again.Status != worklist.Open {
		t.Errorf("after one more grant: %+v", again)
	}
	if out := ask(t, "findings", "list", "--data-dir", e.dir, "--group-by", "identity"); !strings.Contains(out, "planner") || !strings.Contains(out, "wildcard_grant") {
		t.Errorf("groups:\n%s", out)
	}
	e.refusals(short)
}

// refusals are told in one line.
func (e *house) refusals(key string) {
	e.Helper()
	empty := filepath.Join(e.TempDir(), "key")
	if err := os.WriteFile(empty, []byte("cst_"+strings.Repeat("a", 43)+"\n"), 0o600); err != nil {
		e.Fatal(err)
	}
	for want, args := range map[string]string{
		"required flag(s) \"reason\"":   "resolve " + key,
		"required flag(s) \"until\"":    "except " + key + " --reason x",
		"want a day (2026-12-31)":       "except " + key + " --reason x --until soon",
		"an exception wants an end":     "except " + key + " --reason x --until 2020-01-01",
		"the finding is open":           "reopen " + key + " --reason x",
		"no such finding":               "ack 000000000000",
		"the finding has changed since": "ack " + key + " --revision 0000000000000000",
		"unknown, expired or disabled":  "ack " + key + " --api-url URL --api-key-file " + empty,
		"api.url: \"http://api.example": "ack " + key + " --api-url http://api.example --api-key-file " + empty,
		"api.key_file: want a file":     "ack " + key + " --api-url URL",
		"status \"closed\": want one":   "list --status closed",
		"group by \"tenant\": want one": "list --group-by tenant",
	} {
		var local endpoint
		b, err := os.ReadFile(endpointFile(e.dir))
		if err == nil {
			err = json.Unmarshal(b, &local)
		}
		if err != nil {
			e.Fatal(err)
		}
		line := append([]string{"findings"}, strings.Fields(strings.ReplaceAll(args, "URL", local.API))...)
		if _, err := try(e.T, append(line, "--data-dir", e.dir)...); err == nil || !strings.Contains(err.Error(), want) {
			e.Errorf("custody %v: %v, want %q", line, err, want)
		}
	}
}
