package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/processor/detect"
)

// The demo says what it did, and while it is up every verb that asks has answers.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := start(t, "Stop with Ctrl-C", "demo", "--duration", "3s", "--rate", "60", "--output", "json", "--data-dir", dir)
	dir = filepath.Join(dir, "demo")
	var s demoSummary
	eventually(t, time.Minute, "the summary", func(context.Context) bool {
		return json.Unmarshal([]byte(cmd.Stdout.(*output).String()), &s) == nil
	})
	if s.Sent < 100 || s.Stored != s.Sent || s.Lost != 0 || s.Duplicates != 0 || s.Chains == 0 || s.DeepestChain < 2 || s.Findings == 0 {
		t.Errorf("summary %+v", s)
	}
	var list []*detect.Finding
	if err := json.Unmarshal([]byte(ask(t, "findings", "list", "--data-dir", dir, "--output", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != s.Findings {
		t.Fatalf("%d findings listed, the demo counts %d", len(list), s.Findings)
	}
	checkConsole(t, dir)
	checkVerdicts(t, dir, list)
	checkPrivilege(t, dir)
	checkReview(t, dir)
	checkRetention(t, dir)
	f := list[0]
	shown := ask(t, "findings", "show", "--data-dir", dir, f.Key[:16])
	for _, want := range []string{f.Summary, f.Key, f.Evidence[0].String(), "How to respond:"} {
		if !strings.Contains(shown, want) {
			t.Errorf("findings show has no %q:\n%s", want, shown)
		}
	}
	if tree := ask(t, "chain", "--data-dir", dir, f.Evidence[0].String()); !strings.Contains(tree, f.Tenant) {
		t.Errorf("chain of the evidence:\n%s", tree)
	}
	askChains(t, dir, "principal:planner")
	askChains(t, dir, "github-mcp/merge_pull_request")
	var again []*detect.Finding
	if err := json.Unmarshal([]byte(ask(t, "rule", "backtest", f.Rule, "--from", "1h", "--data-dir", dir, "--output", "json")), &again); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(again, func(x *detect.Finding) bool { return x.Key == f.Key && x.Summary == f.Summary }) {
		t.Errorf("the back-test of %s does not find %.12s again, but %d others", f.Rule, f.Key, len(again))
	}
	if table := ask(t, "findings", "list", "--data-dir", dir, "--tenant", f.Tenant, "--severity", f.Severity); !strings.Contains(table, f.Key[:12]) {
		t.Errorf("findings list has no %.12s:\n%s", f.Key, table)
	}
	if table := ask(t, "search", "--data-dir", dir, "actor:planner actor.owner:alice@* kind:tool_invocation"); !strings.Contains(table, "  alice@") {
		t.Errorf("no call of planner shows who owns it:\n%s", table)
	}
	if registry := ask(t, "registry", "show", "--data-dir", dir, "--tenant", "acme"); !strings.Contains(registry, "deployer") || strings.Contains(registry, "globex") {
		t.Errorf("what is registered of acme:\n%s", registry)
	}
	ask(t, "queries", "save", "calls", "kind:tool_invocation", "--data-dir", dir)
	exported := filepath.Join(t.TempDir(), "calls.ndjson")
	ask(t, "export", "@calls", "tenant:"+f.Tenant, "--data-dir", dir, "--tenant", f.Tenant, "--file", exported)
	lines, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	counted := ask(t, "sql", "SELECT count() FROM events WHERE kind = 'tool_invocation'", "--data-dir", dir, "--tenant", f.Tenant, "--output", "csv")
	if n := strings.Count(string(lines), "\n"); n == 0 || strings.Fields(counted)[1] != strconv.Itoa(n) {
		t.Errorf("%d calls exported, SQL counts %s", n, counted)
	}
	file := filepath.Join(t.TempDir(), "registry.yaml")
	if err := os.WriteFile(file, []byte(registryText), 0o600); err != nil {
		t.Fatal(err)
	}
	ask(t, "registry", "import", file, "--data-dir", dir)
	if list := ask(t, "registry", "list", "--data-dir", dir); !strings.Contains(list, "import") || !strings.Contains(list, "file") {
		t.Errorf("versions:\n%s", list)
	}
	for _, c := range []struct{ args, want string }{
		{"findings list --severity urgent", `severity "urgent": want one of`},
		{"verdicts --verdict guilty", `verdict "guilty" is unknown`},
		{"findings show xyz", "want hexadecimal digits"},
		{"findings show 00000000000000000000", "no such finding"},
	} {
		if _, err := try(t, append(strings.Fields(c.args), "--data-dir", dir)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("custody %s: %v, want %s", c.args, err, c.want)
		}
	}
}

// checkConsole opens a link to the console, which works once.
func checkConsole(t *testing.T, dir string) {
	t.Helper()
	link := strings.TrimSpace(ask(t, "console", "link", "--data-dir", dir))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: time.Minute}
	for _, want := range []struct {
		status int
		text   string
	}{{http.StatusOK, "Findings that want somebody"}, {http.StatusGone, "works no longer"}} {
		res, err := browser.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != want.status || !strings.Contains(string(page), want.text) {
			t.Errorf("the link %s: %s, %v, want %d with %q: %.500s", link, res.Status, err, want.status, want.text, page)
		}
	}
}
