//go:build programs

package programs

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/event"
)

// What callers of OPA send and nobody may read again.
const (
	raw    = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImlzcyI6Imh0dHBzOi8vc3RzIn0.c2lnbmF0dXJlLW9mLW5vYm9keQ"
	phrase = "correct horse battery staple"
)

// OPA's server decides and uploads its decision log as docs/sources.md says.
func testOPA(t *testing.T, i *installation) {
	seen := &uploads{t: t, sent: map[string]int{}}
	opa := startOPA(t, i, seen.front(i.url))
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
		id := decide(t, opa+"/v1/data/mcp/"+c.rule, c.scope)
		events, text := i.find(t, 1, "source:opa decision.policy:mcp/"+c.rule+" decision:"+string(c.effect))
		e := events[0]
		if (id == "") != (c.effect == event.EffectError) || id != "" && e.Decision.ID != id { // an error is answered without one
			t.Errorf("%s: OPA answered with decision %q: %s", name, id, e.Canonical())
		}
		if e.Kind != event.PermissionDecision || e.Outcome != c.outcome || !strings.Contains(e.Decision.Reason, c.reason) || e.Decision.Engine != "opa" {
			t.Errorf("%s: %s", name, e.Canonical())
		}
		checkInput(t, name, e, text)
	}
	seen.awaitRepeated(t)
	decide(t, opa+"/v1/data/mcp/allow", "repo:read") // comes behind what was sent again: they share a trace, and so a partition
	i.find(t, 6, "source:opa")
}

// startOPA returns the address of a server that uploads to this one.
func startOPA(t *testing.T, i *installation, collector string) string {
	t.Helper()
	config := i.file("opa.yaml")
	text := replaced(t, opaConfig(t), "http://127.0.0.1:4318", collector, "/run/secrets/custody-key", i.key("opa"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + freePort(t)
	start(t, regexp.MustCompile(`Initializing server`), exec.Command(i.program("opa"), "run", "--server", "--addr", address, "--config-file", config,
		"--set", "decision_logs.reporting.min_delay_seconds=1", "--set", "decision_logs.reporting.max_delay_seconds=1",
		"testdata/policy.rego", "testdata/mask.rego"))
	awaitListener(t, address)
	return "http://" + address
}

// input is what OPA is asked.
func input(scope string) map[string]any {
	return map[string]any{
		"subject": map[string]any{"iss": "https://sts", "sub": "alice", "name": "Alice Liddell", "type": "human"}, "actor": map[string]any{"sub": "planner", "type": "agent"},
		"server": "github-mcp", "tool": map[string]any{"name": "merge"}, "action": map[string]any{"name": "tools/call"},
		"token":     map[string]any{"ref": raw, "scope": []string{scope}},
		"arguments": map[string]any{"password": phrase}, "headers": map[string]any{"authorization": "Bearer " + raw},
		"correlation": map[string]any{"trace_id": "0af7651916cd43dd8448eb211c80319c", "jsonrpc_id": 3},
	}
}

// checkInput holds an event against input; text is how search printed it.
func checkInput(t *testing.T, name string, e *event.Event, text string) {
	t.Helper()
	if e.Subject.Sub != "alice" || e.Actor.Sub != "planner" || e.Server.ID != "github-mcp" || e.Tool.Name != "merge" || e.Correlation.JSONRPCID != "3" || e.Tenant != tenant {
		t.Errorf("%s: what was decided upon: %s", name, e.Canonical())
	}
	if e.Token.Ref != event.TokenRef(raw) || strings.Contains(text, raw) || strings.Contains(text, phrase) || strings.Contains(text, "Liddell") {
		t.Errorf("%s: want a reference of the token, and nothing that was masked: %s", name, e.Canonical())
	}
	for _, mask := range []string{"/input/arguments/password", "/input/subject/name"} {
		if !strings.Contains(strings.Join(e.Warnings, "\n"), "removed by OPA's mask: "+mask) {
			t.Errorf("%s: no warning names %s: %q", name, mask, e.Warnings)
		}
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

// uploads stands between OPA and the collector. To the first upload it answers
// with an error after the collector has taken it, as when a connection breaks.
type uploads struct {
	t        *testing.T
	mu       sync.Mutex
	sent     map[string]int // how often each decision; guarded by mu
	answered bool           // the first upload was; guarded by mu
}

// front returns the address for OPA.
func (u *uploads) front(collector string) string {
	to, err := url.Parse(collector)
	if err != nil {
		u.t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.note(r) {
			pass.ServeHTTP(w, r)
			return
		}
		pass.ServeHTTP(httptest.NewRecorder(), r)
		http.Error(w, "the answer got lost", http.StatusBadGateway)
	}))
	u.t.Cleanup(server.Close)
	return server.URL
}

// note counts the decisions of an upload and puts it back; false for the first.
func (u *uploads) note(r *http.Request) (later bool) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		u.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var decisions []struct {
		ID string `json:"decision_id"`
	}
	plain, err := gzip.NewReader(bytes.NewReader(body))
	if err == nil {
		err = json.NewDecoder(plain).Decode(&decisions)
	}
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		u.t.Errorf("want an upload in gzip: %v, %v", err, r.Header)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range decisions {
		u.sent[d.ID]++
	}
	later, u.answered = u.answered, true
	return later
}

// awaitRepeated waits until a decision was sent twice.
func (u *uploads) awaitRepeated(t *testing.T) {
	t.Helper()
	embeddedtest.Eventually(t, time.Minute, "OPA sends again what was answered with an error", func(context.Context) error {
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, n := range u.sent {
			if n > 1 {
				return nil
			}
		}
		return fmt.Errorf("sent so far: %v", u.sent)
	})
}

// decide asks OPA and returns the decision's id, if the answer has one.
func decide(t *testing.T, url, scope string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"input": input(scope)})
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
