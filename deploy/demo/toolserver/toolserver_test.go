package toolserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/deploy/demo/delegate"
	"github.com/custody-audit/custody/deploy/demo/pdp"
	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/deploy/demo/toolserver"
	"github.com/custody-audit/custody/schemas/event"
)

const (
	issuer = "https://sts.acme.example"
	uri    = "https://github-mcp.acme.example/mcp"
	other  = "https://vault-mcp.acme.example/mcp"
)

var quiet = slog.New(slog.DiscardHandler)

type sink struct {
	mu     sync.Mutex
	events []*event.Event // guarded by mu
	broken error          // guarded by mu
}

func (s *sink) Emit(_ context.Context, e *event.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.events = append(s.events, e)
	}
	return s.broken
}

// world is one server with its authorization server and its policy engine.
type world struct {
	t        *testing.T
	issued   sink // of the authorization server
	calls    sink // of the server
	alice    *sts.Human
	planner  *delegate.Delegate
	tokenURL string
	mcpURL   string
}

func newWorld(t *testing.T, change func(*toolserver.Config)) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	if w.alice, err = sts.NewHuman("alice"); err != nil {
		t.Fatal(err)
	}
	tokens, err := sts.New(sts.Config{
		Issuer: issuer, Sink: &w.issued, Logger: quiet, Users: []sts.User{{ID: "alice", Key: w.alice.Public(), Scope: []string{"repo:read"}}},
		Clients: []sts.Client{{ID: "planner", Secret: "p", Type: event.Agent, May: map[string][]string{uri: {"repo:read"}, other: {"repo:read"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokenServer := httptest.NewServer(tokens)
	t.Cleanup(tokenServer.Close)
	w.tokenURL = tokenServer.URL + sts.TokenPath
	accepting := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(accepting.Close)
	engine, err := pdp.New(t.Context(), pdp.Config{
		Tenant: "acme", CollectorURL: accepting.URL, Key: "cst_test", Logger: quiet,
		Rules: map[string]map[string]pdp.Rule{"github-mcp": {"search": {Scope: []string{"repo:read"}}, "purge": {Scope: []string{"repo:admin"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close(context.Background()) })
	cfg := toolserver.Config{
		Server: event.Server{ID: "github-mcp", Name: "github-mcp", URI: uri, Version: "1"}, Issuer: issuer, JWKSURL: tokenServer.URL + sts.JWKSPath,
		TypeOf: func(string, string) event.PartyType { return event.Agent }, PDP: engine, Sink: &w.calls, HTTP: http.DefaultClient, Logger: quiet,
		Tools: []toolserver.Tool{{Name: "search", ReadOnly: true}, {Name: "purge", Destructive: true}, {Name: "broken", Undecided: true, Next: &toolserver.Next{URL: "http://127.0.0.1:1/mcp", Server: "nowhere", PassThrough: true, Tool: "x"}}},
	}
	w.planner = delegate.New(delegate.Config{ID: "planner", Secret: "p", Version: "1", TokenURL: w.tokenURL, HTTP: http.DefaultClient})
	cfg.Delegate = w.planner
	if change != nil {
		change(&cfg)
	}
	server, err := toolserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mcp := httptest.NewServer(server)
	t.Cleanup(mcp.Close)
	w.mcpURL = mcp.URL + toolserver.Path
	return w
}

// token is the planner's for alice at an audience.
func (w *world) token(audience string) sts.Token {
	w.t.Helper()
	assertion, err := w.alice.Assertion(issuer, "txn-1", "task-1")
	if err != nil {
		w.t.Fatal(err)
	}
	login := sts.Caller{TokenURL: w.tokenURL, HTTP: http.DefaultClient}
	alice, err := login.Login(w.t.Context(), assertion, []string{"repo:read"})
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.planner.Exchange(w.t.Context(), alice, audience, []string{"repo:read"})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) call(ctx context.Context, bearer, tool string) (delegate.Result, error) {
	return w.planner.Call(ctx, delegate.Call{URL: w.mcpURL, Bearer: bearer, Tool: tool, Arguments: map[string]any{"b": 1, "a": "x"}})
}

func (w *world) last() *event.Event {
	w.t.Helper()
	if len(w.calls.events) == 0 {
		w.t.Fatal("nothing was recorded")
	}
	return w.calls.events[len(w.calls.events)-1]
}

func TestCallIsRecorded(t *testing.T) {
	w := newWorld(t, nil)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{2}, TraceFlags: trace.FlagsSampled})
	token := w.token(uri)
	res, err := w.call(trace.ContextWithSpanContext(t.Context(), span), token.Raw, "search")
	if err != nil || res.Failed {
		t.Fatal(res, err)
	}
	e := w.last()
	e.ID, e.SchemaVersion, e.Tenant, e.Source = event.NewID("acme", "s", "1", e.Time), event.SchemaVersion, "acme", event.Source{ID: "s", Type: "native"}
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	r := e.Correlation
	if r.TraceID != span.TraceID().String() || r.ParentSpanID != span.SpanID().String() || r.SpanID == "" || r.SpanID == r.ParentSpanID ||
		r.JSONRPCID != res.JSONRPCID || r.JSONRPCID == "" || r.TaskID != "task-1" || r.TransactionID != "txn-1" || r.DecisionID == "" {
		t.Errorf("correlation %+v of request %s", r, res.JSONRPCID)
	}
	if e.Token.Ref != token.Ref() || e.Token.Verified != event.TokenVerified || e.Token.Audience[0] != uri || e.Actor.Sub != "planner" || e.Subject.Sub != "alice" ||
		e.Client != (event.Client{ID: "planner", Name: "planner", Version: "1", Verified: true}) {
		t.Errorf("event %s", e.Canonical())
	}
	// printf '{"a":"x","b":1}' | openssl dgst -sha256 -binary | basenc --base64url
	if want := "sha256:zasGfp876zLRJSz9Y-SSWS_sv1kbDQjK2yS7F_OGQkY"; e.Tool.ArgumentsHash != want || strings.Join(e.Tool.ArgumentNames, " ") != "a b" {
		t.Errorf("arguments %s %v", e.Tool.ArgumentsHash, e.Tool.ArgumentNames)
	}
}

func TestDenialAndFailure(t *testing.T) {
	w := newWorld(t, nil)
	token := w.token(uri)
	if _, err := w.call(t.Context(), token.Raw, "purge"); err == nil || !strings.Contains(err.Error(), "insufficient_scope: repo:admin") {
		t.Errorf("purge: %v", err)
	}
	if e := w.last(); e.Outcome != event.Denied || e.Tool.ErrorCode != "-32001" || e.Correlation.DecisionID == "" {
		t.Errorf("event %s", e.Canonical())
	}
	if res, err := w.call(t.Context(), token.Raw, "broken"); err != nil || !res.Failed {
		t.Errorf("broken: %+v %v", res, err)
	}
	if e := w.last(); e.Outcome != event.Failure || e.Tool.ResultStatus != "tool_error" || e.Correlation.DecisionID != "" {
		t.Errorf("event %s", e.Canonical())
	}
}

func TestBadTokensAreRefusedAndReported(t *testing.T) {
	w := newWorld(t, nil)
	good := w.token(uri)
	forger, err := sts.NewHuman("planner")
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := forger.Assertion(uri, "t", "t")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, bearer, reason, subject string
	}{
		{"another audience", w.token(other).Raw, "failed:audience", "alice"},
		{"another signer", assertion, "failed:signature", ""},
		{"cut", good.Raw[:len(good.Raw)-8] + "AAAAAAAA", "failed:signature", ""},
		{"no JWT", "hello", "failed:malformed", ""},
		{"unsigned", unsigned(t), "failed:malformed", ""},
	} {
		if _, err := w.call(t.Context(), c.bearer, "search"); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
			t.Errorf("%s: %v", c.name, err)
		}
		if e := w.last(); e.Outcome != event.Denied || string(e.Token.Verified) != c.reason || e.Token.Ref != event.TokenRef(c.bearer) || e.Subject.Sub != c.subject || e.Tool.ServerMethod == "" {
			t.Errorf("%s: event %s", c.name, e.Canonical())
		}
	}
	// The refusals broke the session; the next call must not suffer from it.
	if _, err := w.call(t.Context(), good.Raw, "search"); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
}

func unsigned(t *testing.T) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat("k", 32))}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: issuer, Subject: "alice", Audience: jwt.Audience{uri}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStaticKey(t *testing.T) {
	w := newWorld(t, func(cfg *toolserver.Config) {
		cfg.StaticKeys, cfg.SecretKey = map[string]string{"rpt_1": "report-job"}, []byte("k")
	})
	for range 2 {
		if _, err := w.call(t.Context(), "rpt_1", "broken"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.call(t.Context(), "rpt_2", "broken"); err == nil {
		t.Error("an unknown key is accepted")
	}
	var types []string
	for i, e := range w.calls.events {
		types = append(types, e.Type)
		key := "rpt_1"
		if i == 3 {
			key = "rpt_2"
		}
		if e.Token.Ref != toolserver.KeyRef([]byte("k"), key) || !e.Token.Static {
			t.Errorf("event %s", e.Canonical())
		}
	}
	if got := strings.Join(types, " "); got != "credential.static mcp.tools.call mcp.tools.call mcp.refused" {
		t.Errorf("events %s", got)
	}
}

func TestNoAnswerWithoutItsEvent(t *testing.T) {
	w := newWorld(t, nil)
	token := w.token(uri)
	w.calls.broken = errors.New("collector gone")
	if res, err := w.call(t.Context(), token.Raw, "search"); err == nil || strings.Contains(err.Error(), "done") {
		t.Errorf("answered unrecorded: %+v", res)
	}
}

// What the server notes on a request must not be the caller's to choose.
func TestCallerCannotLabelItself(t *testing.T) {
	w := newWorld(t, nil)
	token := w.token(uri)
	body := `{"jsonrpc":"2.0","id":41,"method":"tools/call","params":{"name":"search","arguments":{}}}`
	req, err := http.NewRequest(http.MethodPost, w.mcpURL, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"Authorization": "Bearer " + token.Raw, "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2025-06-18", "Custody-Jsonrpc-Id": "99", "Custody-Client-Address": "192.0.2.1",
	} {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, text)
	}
	if e := w.last(); e.Correlation.JSONRPCID != "41" || !strings.HasPrefix(e.ClientAddress, "127.0.0.1:") {
		t.Errorf("event %s", e.Canonical())
	}
}
