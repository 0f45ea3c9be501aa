package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/custody-audit/custody/collector/emitter"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/demo/delegate"
	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/deploy/demo/toolserver"
	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// deaf is where events of a server go that reports nothing itself.
type deaf struct{}

func (deaf) Emit(context.Context, *event.Event) error { return nil }

// filesWorld is an MCP server that reports nothing, with a proxy in front of it, an
// authorization server that reports what it issues, and OPA that uploads its
// decisions: none of the three knows the others.
type filesWorld struct {
	t       *testing.T
	dataDir string
	alice   *sts.Human
	planner *delegate.Delegate
	login   sts.Caller
	proxy   string
}

const (
	filesIssuer = "https://sts.acme.example"
	filesURI    = "https://files.acme.example/mcp"
)

func newFilesWorld(t *testing.T) *filesWorld {
	t.Helper()
	w := &filesWorld{t: t, dataDir: t.TempDir()}
	collectorAddress := freeAddress(t)
	keys := w.sources()
	start(t, "takes events at", "run", "--data-dir", w.dataDir, "--collector-sources", filepath.Join(w.dataDir, "sources.yaml"), "--collector-http", collectorAddress,
		"--collector-grpc", "127.0.0.1:0", "--telemetry-address", "", "--processor-block-wait", "200ms", "--processor-session-timeout", "6s")
	collectorURL := "http://" + collectorAddress
	quiet := slog.New(slog.DiscardHandler)

	out, err := emitter.New(emitter.Config{URL: collectorURL, Key: keys["acme-sts"], Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close(context.Background()) })
	if w.alice, err = sts.NewHuman("alice"); err != nil {
		t.Fatal(err)
	}
	issuer, err := sts.New(sts.Config{
		Issuer: filesIssuer, Sink: out, Logger: quiet, Users: []sts.User{{ID: "alice", Key: w.alice.Public(), Scope: []string{"files:read"}}},
		Clients: []sts.Client{{ID: "planner", Secret: "p", Type: event.Agent, May: map[string][]string{filesURI: {"files:read"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens := httptest.NewServer(issuer)
	t.Cleanup(tokens.Close)
	engine, err := pdp.New(t.Context(), pdp.Config{
		Tenant: "acme", CollectorURL: collectorURL, Key: keys["acme-opa"], Logger: quiet,
		Rules: map[string]map[string]pdp.Rule{"files": {"read_file": {Scope: []string{"files:read"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close(context.Background()) })
	w.login = sts.Caller{TokenURL: tokens.URL + sts.TokenPath, HTTP: http.DefaultClient}
	w.planner = delegate.New(delegate.Config{ID: "planner", Secret: "p", Version: "1", TokenURL: w.login.TokenURL, HTTP: http.DefaultClient})
	t.Cleanup(func() { w.planner.Close() })
	server, err := toolserver.New(toolserver.Config{
		Server: event.Server{ID: "files", Name: "files", URI: filesURI, Version: "1"}, Issuer: filesIssuer, JWKSURL: tokens.URL + sts.JWKSPath,
		TypeOf: func(string, string) event.PartyType { return event.Agent }, PDP: engine, Delegate: w.planner, Sink: deaf{}, HTTP: http.DefaultClient, Logger: quiet,
		Tools: []toolserver.Tool{{Name: "read_file", ReadOnly: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(server)
	t.Cleanup(upstream.Close)
	keyFile := filepath.Join(w.dataDir, "proxy.key")
	if err := os.WriteFile(keyFile, []byte(keys["acme-files-proxy"]), 0o600); err != nil {
		t.Fatal(err)
	}
	w.proxy = freeAddress(t)
	start(t, "recording files", "mcp-proxy", "--listen", w.proxy, "--upstream", upstream.URL, "--server-id", "files", "--collector-url", collectorURL,
		"--key-file", keyFile, "--issuer", filesIssuer, "--jwks-url", tokens.URL+sts.JWKSPath, "--audience", filesURI, "--telemetry-address", "")
	return w
}

// sources writes the file of the three sources and returns their keys.
func (w *filesWorld) sources() map[string]string {
	w.t.Helper()
	keys := map[string]string{}
	text := "sources:\n"
	for id, typ := range map[string]string{"acme-sts": "native", "acme-opa": "opa, servers: [files]", "acme-files-proxy": "native, servers: [files]"} {
		key, hash := registry.NewKey()
		keys[id] = key
		text += fmt.Sprintf("- {id: %s, tenant: acme, type: %s, key_sha256: %s}\n", id, typ, hash)
	}
	if err := os.WriteFile(filepath.Join(w.dataDir, "sources.yaml"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return keys
}

// work lets alice's planner read a file, and returns the token that it read with.
func (w *filesWorld) work() string {
	w.t.Helper()
	assertion, err := w.alice.Assertion(filesIssuer, "txn-1", "task-1")
	if err != nil {
		w.t.Fatal(err)
	}
	alice, err := w.login.Login(w.t.Context(), assertion, []string{"files:read"})
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.planner.Exchange(w.t.Context(), alice, filesURI, []string{"files:read"})
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.planner.Call(w.t.Context(), delegate.Call{URL: "http://" + w.proxy + toolserver.Path, Bearer: token.Raw, Tool: "read_file", Arguments: map[string]any{"path": "README.md"}})
	if err != nil || res.Failed {
		w.t.Fatalf("read_file: %+v, %v", res, err)
	}
	return token.Raw
}

// One chain over three sources of different kinds, that know nothing of each
// other: an authorization server, OPA, and a proxy in front of an MCP server. It is
// asked for with the token in hand.
func TestChainAcrossSources(t *testing.T) {
	t.Parallel()
	w := newFilesWorld(t)
	token := w.work()
	asked := func() (*query.Chains, string) {
		var out strings.Builder
		root := newRoot()
		root.SetArgs([]string{"chain", "-", "--data-dir", w.dataDir, "--tenant", "acme", "--output", "json"})
		root.SetIn(strings.NewReader(token + "\n"))
		root.SetOut(&out)
		root.SetErr(&out)
		found := &query.Chains{}
		if err := root.ExecuteContext(t.Context()); err != nil {
			return nil, err.Error()
		}
		if err := json.Unmarshal([]byte(out.String()), found); err != nil {
			t.Fatal(err)
		}
		return found, out.String()
	}
	var found *query.Chains
	var text string
	eventually(t, time.Minute, "the call and its decision are stored", func(context.Context) bool {
		found, text = asked()
		if found == nil || len(found.Chains[0].Root.Children) == 0 {
			return false
		}
		calls := found.Chains[0].Root.Children[0].Calls
		return len(calls) > 0 && calls[len(calls)-1].Decision != nil
	})
	if strings.Contains(text, token) {
		t.Error("the token is in the answer")
	}
	c := found.Chains[0]
	login, hop := c.Root, c.Root.Children[0]
	call := hop.Calls[len(hop.Calls)-1]
	if login.Source != "acme-sts" || login.Holder().Sub != "alice" || c.Missing != 0 || c.Depth != 1 {
		t.Errorf("the chain begins with %s for %s, depth %d, %d missing", login.Source, login.Holder().Sub, c.Depth, c.Missing)
	}
	if hop.Source != "acme-sts" || hop.Holder().Sub != "planner" || hop.Join != chain.ByLineage || hop.Strength != chain.Certain || hop.Verified != event.TokenVerified || hop.LifetimeSeconds == 0 {
		t.Errorf("the hop: %+v", hop)
	}
	if call.Source != "acme-files-proxy" || call.Tool != "read_file" || call.Outcome != event.Success || call.Join != chain.ByToken {
		t.Errorf("the call: %+v", call)
	}
	if d := call.Decision; d.Source != "acme-opa" || d.Effect != event.Allow || d.Engine != "opa" || d.Policy == "" || d.Join != chain.ByTrace && d.Join != chain.ByJSONRPC && d.Join != chain.ByDecisionID {
		t.Errorf("the decision: %+v", d)
	}
	if len(call.Problems) > 0 || len(hop.Problems) > 0 {
		t.Errorf("problems %q, %q", call.Problems, hop.Problems)
	}
	t.Logf("decision joined by %s\n%s", call.Decision.Join, ask(t, "chain", call.Event, "--data-dir", w.dataDir))
}
