//go:build programs

package programs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/custody-audit/custody/schemas/event"
)

// OPA's server decides and uploads its decision log as docs/sources.md says.
func testOPA(t *testing.T, i *installation) {
	var unzipped atomic.Int64
	address := uploads(t, i.url, &unzipped)
	config := i.file("opa.yaml")
	if err := os.WriteFile(config, []byte(replaced(t, opaConfig(t), "http://127.0.0.1:4318", address, "/run/secrets/custody-key", i.key("opa"))), 0o600); err != nil {
		t.Fatal(err)
	}
	server := "127.0.0.1:" + freePort(t)
	start(t, regexp.MustCompile(`Initializing server`), exec.Command(i.program("opa"), "run", "--server", "--addr", server, "--config-file", config,
		"--set", "decision_logs.reporting.min_delay_seconds=1", "--set", "decision_logs.reporting.max_delay_seconds=1",
		"testdata/policy.rego", "testdata/mask.rego"))
	opa := "http://" + server
	awaitListener(t, server)

	const raw, password = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImlzcyI6Imh0dHBzOi8vc3RzIn0.c2lnbmF0dXJlLW9mLW5vYm9keQ", "correct horse battery staple"
	input := func(scope string) map[string]any {
		return map[string]any{
			"subject": map[string]any{"iss": "https://sts", "sub": "alice", "name": "Alice Liddell", "type": "human"}, "actor": map[string]any{"sub": "planner", "type": "agent"},
			"server": "github-mcp", "tool": map[string]any{"name": "merge"}, "action": map[string]any{"name": "tools/call"},
			"token":     map[string]any{"ref": raw, "scope": []string{scope}},
			"arguments": map[string]any{"password": password}, "headers": map[string]any{"authorization": "Bearer " + raw},
			"correlation": map[string]any{"trace_id": "0af7651916cd43dd8448eb211c80319c", "jsonrpc_id": 3},
		}
	}
	for name, c := range map[string]struct {
		rule, scope string
		effect      event.Effect
		outcome     event.Outcome
		reason      string
	}{
		"allow":          {"allow", "repo:read", event.Allow, event.Success, ""},
		"deny":           {"allow", "repo:write", event.Deny, event.Denied, ""},
		"deny by object": {"decide", "repo:write", event.Deny, event.Denied, "scope repo:read is missing"},
		"error":          {"broken", "repo:read", event.EffectError, event.Error, "rego"},
		"undefined":      {"silent", "repo:read", event.NotApplicable, event.Failure, ""},
	} {
		id := decide(t, opa+"/v1/data/mcp/"+c.rule, input(c.scope))
		events, text := i.find(t, 1, "source:opa decision.policy:mcp/"+c.rule+" decision:"+string(c.effect))
		e := events[0]
		if (id == "") != (c.effect == event.EffectError) || id != "" && e.Decision.ID != id { // an error is answered without one
			t.Errorf("%s: OPA answered with decision %q: %s", name, id, e.Canonical())
		}
		if e.Kind != event.PermissionDecision || e.Decision.Effect != c.effect || e.Outcome != c.outcome || !strings.Contains(e.Decision.Reason, c.reason) ||
			e.Decision.Engine != "opa" {
			t.Errorf("%s: %s", name, e.Canonical())
		}
		if e.Subject.Sub != "alice" || e.Actor.Sub != "planner" || e.Server.ID != "github-mcp" || e.Tool.Name != "merge" || e.Correlation.JSONRPCID != "3" || e.Tenant != tenant {
			t.Errorf("%s: what was decided upon: %s", name, e.Canonical())
		}
		if e.Token.Ref != event.TokenRef(raw) || strings.Contains(text, raw) || strings.Contains(text, password) || strings.Contains(text, "Liddell") {
			t.Errorf("%s: want a reference of the token, and nothing that was masked: %s", name, e.Canonical())
		}
		for _, mask := range []string{"/input/arguments/password", "/input/subject/name"} {
			if !strings.Contains(strings.Join(e.Warnings, "\n"), "removed by OPA's mask: "+mask) {
				t.Errorf("%s: no warning names %s: %q", name, mask, e.Warnings)
			}
		}
	}
	if n := unzipped.Load(); n != 0 {
		t.Errorf("%d uploads were not gzipped: they show nothing of gzip", n)
	}
}

// opaConfig is what a person pastes into OPA's configuration.
func opaConfig(t *testing.T) string {
	t.Helper()
	_, text, _ := strings.Cut(page(t, "sources.md"), "\n## opa:")
	_, text, _ = strings.Cut(text, "```yaml\n")
	text, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("docs/sources.md has no configuration of OPA")
	}
	return text
}

// uploads is in front of the collector and counts the bodies that are not gzipped.
func uploads(t *testing.T, collector string, unzipped *atomic.Int64) string {
	t.Helper()
	to, err := url.Parse(collector)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "gzip" {
			unzipped.Add(1)
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// decide asks OPA and returns the decision's id, if the answer has one.
func decide(t *testing.T, url string, input any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"input": input})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		ID string `json:"decision_id"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("OPA answers %s: %s", res.Status, text)
	}
	return answer.ID
}
