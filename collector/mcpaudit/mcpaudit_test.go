package mcpaudit_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/collector/mcpaudit"
	"github.com/custody-audit/custody/collector/token"
	"github.com/custody-audit/custody/schemas/event"
)

const (
	issuer = "https://sts.acme.example"
	uri    = "https://files.acme.example/mcp"
)

// sink is an emitter whose events stay here.
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

// take returns the events since the last call, completed as a collector does.
func (s *sink) take(t testing.TB) []*event.Event {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	for _, e := range events {
		e.Fit() // as package emitter does
		e.ID, e.SchemaVersion, e.Tenant, e.Source = event.NewID("acme", "s", "1", e.Time), event.SchemaVersion, "acme", event.Source{ID: "s", Type: "native"}
		if err := e.Validate(); err != nil {
			t.Errorf("event %s: %v", e.Canonical(), err)
		}
	}
	return events
}

func (s *sink) one(t testing.TB) *event.Event {
	t.Helper()
	events := s.take(t)
	if len(events) != 1 {
		t.Fatalf("%d events, want 1", len(events))
	}
	return events[0]
}

// place is a server with its audit.
type place struct {
	testing.TB
	sink
	audit  *mcpaudit.Audit
	server *mcp.Server
	key    *ecdsa.PrivateKey
	url    string
}

type input struct {
	Path string `json:"path"`
}

// newPlace has a tool that answers, one that fails, one that is denied, and one
// that tells what else happened.
func newPlace(t testing.TB, change func(*mcpaudit.Config)) *place {
	t.Helper()
	p := &place{TB: t}
	cfg := mcpaudit.Config{Server: event.Server{ID: "files", URI: uri}, Emitter: &p.sink, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	var err error
	if p.audit, err = mcpaudit.New(cfg); err != nil {
		t.Fatal(err)
	}
	p.server = mcp.NewServer(&mcp.Implementation{Name: "files", Version: "1"}, nil)
	p.server.AddReceivingMiddleware(p.audit.Middleware)
	for name, end := range map[string]error{"read": nil, "lose": errors.New("disk on fire"), "wipe": mcpaudit.Denied("not today")} {
		mcp.AddTool(p.server, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, input) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "12345"}}}, nil, end
		})
	}
	mcp.AddTool(p.server, &mcp.Tool{Name: "share"}, p.share)
	mcp.AddTool(p.server, &mcp.Tool{Name: "ask"}, func(context.Context, *mcp.CallToolRequest, input) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"who": &mcp.ElicitParams{Message: "who?"}}}, nil, nil
	})
	return p
}

// share asks a policy and exchanges the token, as a server that goes on does.
func (p *place) share(ctx context.Context, _ *mcp.CallToolRequest, _ input) (*mcp.CallToolResult, any, error) {
	if err := p.audit.RecordDecision(ctx, event.Decision{Effect: event.Allow, Engine: "inline", Policy: "share"}); err != nil {
		return nil, nil, err
	}
	err := p.audit.RecordExchange(ctx, mcpaudit.Exchange{
		SubjectToken: "subject", ActorToken: "actor", IssuedToken: "issued", Actor: event.Party{Iss: issuer, Sub: "files"},
		Facts: event.Exchange{RequestedAudience: []string{"https://mail.acme.example"}, GrantedScope: []string{"mail:send"}, ExpiresIn: 300},
	})
	return &mcp.CallToolResult{}, nil, err
}

// serve serves over Streamable HTTP with tokens.
func (p *place) serve(options *auth.RequireBearerTokenOptions) {
	p.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.Fatal(err)
	}
	p.key = key
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	}))
	p.Cleanup(keys.Close)
	v, err := token.NewVerifier(token.Config{Issuer: issuer, JWKSURL: keys.URL, Audience: uri})
	if err != nil {
		p.Fatal(err)
	}
	p.listen(p.audit.Verifier(v.Verify), options)
}

func (p *place) listen(verify auth.TokenVerifier, options *auth.RequireBearerTokenOptions) {
	server := func(*http.Request) *mcp.Server { return p.server }
	stateful, stateless := mcp.NewStreamableHTTPHandler(server, nil), mcp.NewStreamableHTTPHandler(server, &mcp.StreamableHTTPOptions{Stateless: true})
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") >= newProtocol {
			stateless.ServeHTTP(w, r)
			return
		}
		stateful.ServeHTTP(w, r)
	})
	s := httptest.NewServer(p.audit.Handler(auth.RequireBearerToken(verify, options)(stream)))
	p.Cleanup(s.Close)
	p.url = s.URL
}

func (p *place) token(scope string) string {
	p.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		p.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: issuer, Subject: "alice", Audience: jwt.Audience{uri}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}).
		Claims(map[string]any{"scope": scope}).Serialize()
	if err != nil {
		p.Fatal(err)
	}
	return raw
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	r.Header.Set("Custody-Jsonrpc-Id", "999")
	r.Header.Set("Custody-Client-Address", "192.0.2.1")
	return http.DefaultTransport.RoundTrip(r)
}

func (p *place) connect(raw, version string) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "planner", Version: "2"}, nil)
	s, err := client.Connect(p.Context(), &mcp.StreamableClientTransport{Endpoint: p.url, HTTPClient: &http.Client{Transport: bearer(raw)}, MaxRetries: -1},
		&mcp.ClientSessionOptions{ProtocolVersion: version})
	if err == nil {
		p.Cleanup(func() { s.Close() })
	}
	return s, err
}

func (p *place) session(raw, version string) *mcp.ClientSession {
	p.Helper()
	s, err := p.connect(raw, version)
	if err != nil {
		p.Fatal(err)
	}
	return s
}

func call(t testing.TB, s *mcp.ClientSession, tool string) (*mcp.CallToolResult, error) {
	return s.CallTool(t.Context(), &mcp.CallToolParams{
		Name: tool, Arguments: input{"/etc/motd"}, Meta: mcp.Meta{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	})
}

// newProtocol is the first version without sessions; the SDK speaks it over HTTP
// when it is told to be stateless.
const newProtocol = "2026-07-28"

var versions = []string{newProtocol, "2025-11-25", "2025-06-18"}

func TestCallOverHTTP(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := newPlace(t, nil)
			p.serve(nil)
			raw := p.token("files:read")
			s := p.session(raw, version)
			if _, err := call(t, s, "read"); err != nil || s.InitializeResult().ProtocolVersion != version {
				t.Fatal(s.InitializeResult().ProtocolVersion, err)
			}
			e := p.one(t)
			if e.Kind != event.ToolInvocation || e.Outcome != event.Success || e.Tool.Name != "read" || e.Tool.ResultStatus != "ok" || e.Tool.ResponseBytes != 5 ||
				e.Tool.RequestBytes != int64(len(`{"path":"/etc/motd"}`)) || strings.Join(e.Tool.ArgumentNames, "") != "path" || e.Server.ID != "files" {
				t.Errorf("event %s", e.Canonical())
			}
			if e.Token.Ref != event.TokenRef(raw) || e.Token.Verified != event.TokenVerified || e.Subject.Sub != "alice" || e.Token.Scope[0] != "files:read" {
				t.Errorf("token %+v of %+v", e.Token, e.Subject)
			}
			r := e.Correlation
			if r.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || r.ParentSpanID != "00f067aa0ba902b7" || r.SpanID == "" || r.SpanID == r.ParentSpanID {
				t.Errorf("correlation %+v", r)
			}
			if r.JSONRPCID == "" || r.JSONRPCID == "999" || !strings.HasPrefix(e.ClientAddress, "127.0.0.1:") {
				t.Errorf("the caller chose its own label: id %q, address %q", r.JSONRPCID, e.ClientAddress)
			}
			if e.Client.Name != "planner" || e.Client.Version != "2" || (r.SessionID != "") != (version < newProtocol) {
				t.Errorf("client %+v, session %q", e.Client, r.SessionID)
			}
			if text := string(e.Canonical()); strings.Contains(text, raw) || strings.Contains(text, "motd") {
				t.Errorf("token or arguments are in the event: %s", text)
			}
		})
	}
}

// The middleware alone records over any transport.
func TestCallInMemory(t *testing.T) {
	for _, version := range versions {
		p := newPlace(t, nil)
		near, far := mcp.NewInMemoryTransports()
		if _, err := p.server.Connect(t.Context(), far, nil); err != nil {
			t.Fatal(err)
		}
		s, err := mcp.NewClient(&mcp.Implementation{Name: "planner"}, nil).Connect(t.Context(), near, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := call(t, s, "read"); err != nil {
			t.Fatal(err)
		}
		if e := p.one(t); e.Tool.Name != "read" || e.Token.Verified != event.TokenAbsent || e.Correlation.TraceID == "" || e.Client.Name != "planner" {
			t.Errorf("%s: event %s", version, e.Canonical())
		}
	}
}

func TestOutcomes(t *testing.T) {
	p := newPlace(t, nil)
	p.serve(nil)
	s := p.session(p.token(""), versions[0])
	for _, c := range []struct {
		tool    string
		outcome event.Outcome
		status  string
		code    string
	}{
		{"read", event.Success, "ok", ""},
		{"lose", event.Failure, "tool_error", ""},
		{"wipe", event.Denied, "rpc_error", "-32001"},
		{"none", event.Failure, "rpc_error", "-32602"},
		{"ask", event.Success, "input_required", ""}, // the client cannot answer and gives up
	} {
		call(t, s, c.tool)
		if e := p.one(t); e.Outcome != c.outcome || e.Tool.ResultStatus != c.status || e.Tool.ErrorCode != c.code || e.Tool.Name != c.tool {
			t.Errorf("%s: event %s", c.tool, e.Canonical())
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	p := newPlace(t, nil)
	p.serve(&auth.RequireBearerTokenOptions{Scopes: []string{"files:read"}})
	good := p.token("files:read")
	for name, c := range map[string]struct {
		raw, code string
		verified  event.Verified
	}{
		"cut":            {good[:len(good)-8] + "AAAAAAAA", "401", "failed:signature"},
		"no JWT":         {"hello", "401", "failed:malformed"},
		"another scope":  {p.token("files:list"), "403", "verified"},
		"nobody's token": {strings.Repeat("x", 5000), "401", "failed:malformed"},
	} {
		if _, err := p.connect(c.raw, versions[1]); err == nil {
			t.Errorf("%s is let in", name)
		}
		e := p.take(t)[0]
		if e.Type != mcpaudit.TypeRefused || e.Outcome != event.Denied || e.Tool.ErrorCode != c.code || e.Tool.ServerMethod != "initialize" ||
			e.Token.Verified != c.verified || e.Token.Ref != event.TokenRef(c.raw) || e.Correlation.JSONRPCID == "" {
			t.Errorf("%s: event %s", name, e.Canonical())
		}
	}
	res, err := http.Post(p.url, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if events := p.take(t); res.StatusCode != http.StatusUnauthorized || len(events) != 0 {
		t.Errorf("a request without a token: %d, %d events", res.StatusCode, len(events))
	}
}

// A caller who makes its request unfit for an event is recorded all the same.
func TestHugeNamesAreRecorded(t *testing.T) {
	p := newPlace(t, nil)
	p.serve(nil)
	s := p.session(p.token(""), versions[0])
	huge := map[string]any{}
	for i := range 300 {
		huge[strings.Repeat("ä", i)] = i
	}
	if _, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: strings.Repeat("t", 1<<20), Arguments: huge}); err == nil {
		t.Error("the tool exists")
	}
	if e := p.one(t); e.Outcome != event.Failure || len(e.Tool.Name) != event.MaxString || len(e.Warnings) == 0 {
		t.Errorf("event %.3000s", e.Canonical())
	}
}

func TestOtherVerifier(t *testing.T) {
	p := newPlace(t, func(cfg *mcpaudit.Config) { cfg.TypeOf = func(string, string) event.PartyType { return event.Human } })
	p.listen(func(_ context.Context, raw string, _ *http.Request) (*auth.TokenInfo, error) {
		if raw != "opaque" {
			return nil, auth.ErrInvalidToken
		}
		return &auth.TokenInfo{UserID: "bob", Scopes: []string{"all"}, Expiration: time.Now().Add(time.Hour)}, nil
	}, nil)
	if _, err := call(t, p.session("opaque", versions[0]), "read"); err != nil {
		t.Fatal(err)
	}
	if e := p.one(t); e.Subject != (event.Party{Sub: "bob", Type: event.Human}) || e.Token.Ref != event.TokenRef("opaque") || e.Token.Scope[0] != "all" || e.Token.ExpiresAt == 0 {
		t.Errorf("event %s", e.Canonical())
	}
	if _, err := p.connect("another", versions[1]); err == nil {
		t.Error("another token is let in")
	}
	if e := p.take(t)[0]; e.Token.Verified != event.TokenUnverified || e.Token.Ref != event.TokenRef("another") || e.Type != mcpaudit.TypeRefused {
		t.Errorf("event %s", e.Canonical())
	}
}

func TestDecisionAndExchange(t *testing.T) {
	p := newPlace(t, nil)
	p.serve(nil)
	raw := p.token("files:share")
	if _, err := call(t, p.session(raw, versions[0]), "share"); err != nil {
		t.Fatal(err)
	}
	events := p.take(t)
	if len(events) != 3 {
		t.Fatalf("%d events, want 3", len(events))
	}
	decision, exchange, done := events[0], events[1], events[2]
	if decision.Kind != event.PermissionDecision || decision.Decision.ID == "" || decision.Decision.ID != done.Correlation.DecisionID ||
		decision.Tool.Name != "share" || decision.Token.Ref != event.TokenRef(raw) || decision.Correlation.SpanID != done.Correlation.SpanID {
		t.Errorf("decision %s", decision.Canonical())
	}
	x := exchange.Exchange
	if exchange.Kind != event.TokenExchange || x.SubjectTokenRef != event.TokenRef("subject") || x.ActorTokenRef != event.TokenRef("actor") || x.IssuedTokenRef != event.TokenRef("issued") ||
		x.ExpiresIn != 300 || x.GrantType == "" || exchange.Actor.Sub != "files" || exchange.Subject.Sub != "alice" || exchange.Correlation.TraceID != done.Correlation.TraceID ||
		exchange.Token.Ref != x.SubjectTokenRef {
		t.Errorf("exchange %s", exchange.Canonical())
	}
}

func TestAuditUnavailable(t *testing.T) {
	for _, open := range []bool{false, true} {
		p := newPlace(t, func(cfg *mcpaudit.Config) { cfg.FailOpen = open })
		p.serve(nil)
		s := p.session(p.token(""), versions[0])
		p.broken = errors.New("collector gone")
		_, err := call(t, s, "read")
		if open && err != nil || !open && (err == nil || !strings.Contains(err.Error(), "audit unavailable")) {
			t.Errorf("fail open %v: %v", open, err)
		}
	}
}

// What is left of an event after its call is nobody's to change.
func TestCallEnds(t *testing.T) {
	p := newPlace(t, nil)
	var kept *mcpaudit.Call
	mcp.AddTool(p.server, &mcp.Tool{Name: "keep"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ input) (*mcp.CallToolResult, any, error) {
		kept = mcpaudit.CallFrom(ctx)
		kept.Decided("d1")
		return nil, nil, nil
	})
	p.serve(nil)
	if _, err := call(t, p.session(p.token(""), versions[0]), "keep"); err != nil {
		t.Fatal(err)
	}
	kept.Decided("d2")
	if e := p.one(t); e.Correlation.DecisionID != "d1" || kept.Presented().Subject.Sub != "alice" {
		t.Errorf("event %s", e.Canonical())
	}
}
