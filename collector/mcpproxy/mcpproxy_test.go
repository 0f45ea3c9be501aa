package mcpproxy_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/custody-audit/custody/collector/mcpproxy"
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

func (s *sink) fail(err error) { s.mu.Lock(); defer s.mu.Unlock(); s.broken = err }

// take returns the events since the last call, once there are so many, completed
// as a collector does.
func (s *sink) take(t testing.TB, n int) []*event.Event {
	t.Helper()
	var events []*event.Event
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		if len(s.events) >= n || time.Now().After(deadline) {
			events, s.events = s.events, nil
			s.mu.Unlock()
			break
		}
		s.mu.Unlock()
	}
	if len(events) != n {
		t.Fatalf("%d events, want %d", len(events), n)
	}
	for _, e := range events {
		e.Fit() // as package emitter does
		e.ID, e.SchemaVersion, e.Tenant, e.Source = event.NewID("acme", "s", "1", e.Time), event.SchemaVersion, "acme", event.Source{ID: "s", Type: "native"}
		if err := e.Validate(); err != nil {
			t.Errorf("event %s: %v", e.Canonical(), err)
		}
	}
	return events
}

func (s *sink) one(t testing.TB) *event.Event { t.Helper(); return s.take(t, 1)[0] }

// place is a server behind a proxy.
type place struct {
	testing.TB
	sink
	key   *ecdsa.PrivateKey
	proxy *mcpproxy.Proxy
	url   string
}

// front puts a proxy in front of the handler.
func front(t testing.TB, handler http.Handler, change func(*mcpproxy.Config)) *place {
	t.Helper()
	p := &place{TB: t}
	var err error
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "k"}}})
	}))
	t.Cleanup(keys.Close)
	v, err := token.NewVerifier(token.Config{Issuer: issuer, JWKSURL: keys.URL, Audience: uri})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(handler)
	t.Cleanup(upstream.Close)
	cfg := mcpproxy.Config{Server: event.Server{ID: "files", URI: uri}, Emitter: &p.sink, Check: v.Verify, Logger: slog.New(slog.DiscardHandler), EmitTimeout: time.Second}
	if change != nil {
		change(&cfg)
	}
	if p.proxy, err = mcpproxy.New(upstream.URL, cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p.proxy)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p.url = server.URL
	return p
}

func (p *place) token(scope string) string {
	p.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		p.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(jwt.Claims{Issuer: issuer, Subject: "alice", Audience: jwt.Audience{uri}, Expiry: jwt.NewNumericDate(time.Now().Add(time.Hour))}).
		Claims(map[string]any{"scope": scope, "act": map[string]any{"sub": "planner"}}).Serialize()
	if err != nil {
		p.Fatal(err)
	}
	return raw
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

func (p *place) session(raw, version string) *mcp.ClientSession {
	p.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "planner", Version: "2"}, nil)
	s, err := client.Connect(p.Context(), &mcp.StreamableClientTransport{Endpoint: p.url + "/mcp", HTTPClient: &http.Client{Transport: bearer(raw)}, MaxRetries: -1},
		&mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { s.Close() })
	return s
}

const newProtocol = "2026-07-28"

var versions = []string{newProtocol, "2025-11-25", "2025-06-18"}

type input struct {
	Path string `json:"path"`
}

// files is an MCP server of the official SDK with a tool, a resource and a prompt.
func files() http.Handler {
	s := mcp.NewServer(&mcp.Implementation{Name: "files", Version: "1"}, nil)
	for name, end := range map[string]error{"read": nil, "lose": errors.New("disk on fire")} {
		mcp.AddTool(s, &mcp.Tool{Name: name}, func(ctx context.Context, req *mcp.CallToolRequest, _ input) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "12345"}}}, nil, end
		})
	}
	mcp.AddTool(s, &mcp.Tool{Name: "wait"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ input) (*mcp.CallToolResult, any, error) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second): // without a session, the SDK's server does not notice
		}
		return nil, nil, errors.New("cancelled")
	})
	s.AddResource(&mcp.Resource{URI: "file:///motd", Name: "motd"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: "file:///motd", Text: "hello"}}}, nil
	})
	s.AddPrompt(&mcp.Prompt{Name: "greet"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{}, nil
	})
	server := func(*http.Request) *mcp.Server { return s }
	stateful, stateless := mcp.NewStreamableHTTPHandler(server, nil), mcp.NewStreamableHTTPHandler(server, &mcp.StreamableHTTPOptions{Stateless: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Protocol-Version") >= newProtocol {
			stateless.ServeHTTP(w, r)
			return
		}
		stateful.ServeHTTP(w, r)
	})
}

func call(t testing.TB, s *mcp.ClientSession, tool string) (*mcp.CallToolResult, error) {
	return s.CallTool(t.Context(), &mcp.CallToolParams{
		Name: tool, Arguments: input{"/etc/motd"}, Meta: mcp.Meta{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	})
}

// A real client and a real server, in each version of the protocol: what passes is
// what was sent, and each recorded method becomes one event.
func TestRealServer(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := front(t, files(), nil)
			raw := p.token("files:read")
			s := p.session(raw, version)
			if got := s.InitializeResult().ProtocolVersion; got != version {
				t.Fatalf("version %s", got)
			}
			res, err := call(t, s, "read")
			if err != nil || res.Content[0].(*mcp.TextContent).Text != "12345" {
				t.Fatalf("%+v, %v", res, err)
			}
			e := p.one(t)
			if e.Type != event.TypeToolCall || e.Outcome != event.Success || e.Tool.Name != "read" || e.Tool.ServerMethod != "tools/call" || e.Tool.ResultStatus != "ok" ||
				e.Tool.ResponseBytes == 0 || e.Tool.RequestBytes == 0 || strings.Join(e.Tool.ArgumentNames, "") != "path" || e.Server.ID != "files" {
				t.Errorf("event %s", e.Canonical())
			}
			if e.Token.Ref != event.TokenRef(raw) || e.Token.Verified != event.TokenVerified || e.Subject.Sub != "alice" || e.Actor.Sub != "planner" || e.Token.Scope[0] != "files:read" {
				t.Errorf("token %+v of %+v by %+v", e.Token, e.Subject, e.Actor)
			}
			r := e.Correlation
			if r.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || r.ParentSpanID != "00f067aa0ba902b7" || r.SpanID == r.ParentSpanID || r.JSONRPCID == "" || (r.SessionID != "") != (version < newProtocol) {
				t.Errorf("correlation %+v", r)
			}
			if e.Client.Name != "planner" || e.Client.Version != "2" || !strings.HasPrefix(e.ClientAddress, "127.0.0.1:") {
				t.Errorf("client %+v at %s", e.Client, e.ClientAddress)
			}
			if text := string(e.Canonical()); strings.Contains(text, raw) || strings.Contains(text, "motd") || strings.Contains(text, "12345") {
				t.Errorf("token, arguments or result are in the event: %s", text)
			}
			if res, err = call(t, s, "lose"); err != nil || !res.IsError {
				t.Errorf("%+v, %v", res, err)
			}
			if e = p.one(t); e.Outcome != event.Failure || e.Tool.ResultStatus != "tool_error" {
				t.Errorf("event %s", e.Canonical())
			}
			if _, err = call(t, s, "none"); err == nil {
				t.Error("there is no such tool")
			}
			if e = p.one(t); e.Outcome != event.Failure || e.Tool.ErrorCode != "-32602" {
				t.Errorf("event %s", e.Canonical())
			}
			if _, err := s.ListTools(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if e = p.one(t); e.Type != event.TypeToolList || e.Attributes["mcp.tools.names"] != "lose read wait" || e.Attributes["mcp.tools.count"] != "3" {
				t.Errorf("event %s", e.Canonical())
			}
			if _, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///motd"}); err != nil {
				t.Error(err)
			}
			if e = p.one(t); e.Type != "mcp.resources.read" || e.Attributes["mcp.resource.uri"] != "file:///motd" {
				t.Errorf("event %s", e.Canonical())
			}
			if _, err := s.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "greet"}); err != nil {
				t.Error(err)
			}
			if e = p.one(t); e.Type != "mcp.prompts.get" || e.Tool.Name != "greet" {
				t.Errorf("event %s", e.Canonical())
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			p := front(t, files(), nil)
			s := p.session(p.token(""), version)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := s.CallTool(ctx, &mcp.CallToolParams{Name: "wait", Arguments: input{"x"}}); err == nil {
				t.Error("it ended")
			}
			s.Close()
			p.proxy.Close()
			// The server may answer a cancelled call with an error, which is a failure then.
			if e := p.one(t); e.Tool.Name != "wait" || e.Outcome == event.Success || e.Outcome == event.Error && e.Tool.ErrorCode != "cancelled" {
				t.Errorf("event %s", e.Canonical())
			}
		})
	}
}

// post sends a body as a client that is no SDK may.
func (p *place) post(body string, headers ...string) (int, string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.url+"/mcp", strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// answering is a server that answers everything with this.
func answering(status int, contentType, body string, headers ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

const callText = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read"}}`

// A server that asks back has not done the call: the client sends it again, and that is told from two calls.
func TestServerAsksBack(t *testing.T) {
	s := mcp.NewServer(&mcp.Implementation{Name: "files", Version: "1"}, nil)
	mcp.AddTool(s, &mcp.Tool{Name: "wipe"}, func(_ context.Context, req *mcp.CallToolRequest, _ input) (*mcp.CallToolResult, any, error) {
		if len(req.Params.InputResponses) == 0 {
			return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"sure": &mcp.ElicitParams{Message: "Are you sure?"}}}, nil, nil
		}
		return &mcp.CallToolResult{}, nil, nil
	})
	p := front(t, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, &mcp.StreamableHTTPOptions{Stateless: true}), nil)
	client := mcp.NewClient(&mcp.Implementation{Name: "planner"}, &mcp.ClientOptions{ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
		return &mcp.ElicitResult{Action: "accept"}, nil
	}})
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: p.url + "/mcp", MaxRetries: -1}, &mcp.ClientSessionOptions{ProtocolVersion: newProtocol})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if res, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "wipe", Arguments: input{"x"}}); err != nil || res.IsError || res.NeedsInput() {
		t.Fatalf("%+v, %v", res, err)
	}
	events := p.take(t, 2)
	for i, want := range []string{"input_required", "ok"} {
		if e := events[i]; e.Outcome != event.Success || e.Tool.ResultStatus != want {
			t.Errorf("event %d, want %s: %s", i, want, e.Canonical())
		}
	}
}

// What the server answers decides the outcome, and passes as it is.
func TestAnswers(t *testing.T) {
	const ok = `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`
	for name, c := range map[string]struct {
		handler http.Handler
		outcome event.Outcome
		code    string
		status  int
	}{
		"JSON":            {answering(200, "application/json; charset=utf-8", ok), event.Success, "", 200},
		"stream":          {answering(200, "text/event-stream", ": hello\n\nid: 3\r\ndata: "+ok+"\r\n\r\n"), event.Success, "", 200},
		"stream in parts": {answering(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":7,\"result\":{}}\n\n"), event.Success, "", 200},
		"other first":     {answering(200, "text/event-stream", "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: "+ok+"\n\n"), event.Success, "", 200},
		"batch":           {answering(200, "application/json", "["+ok+"]"), event.Success, "", 200},
		"denied":          {answering(200, "application/json", `{"jsonrpc":"2.0","id":7,"error":{"code":-32001,"message":"denied"}}`), event.Denied, "-32001", 200},
		"error":           {answering(400, "application/json", `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"x"}}`), event.Failure, "-32602", 400},
		"another's id":    {answering(200, "application/json", `{"jsonrpc":"2.0","id":8,"result":{}}`), event.Success, "", 200},
		"no id":           {answering(400, "application/json", `{"jsonrpc":"2.0","id":null,"error":{"code":-32700}}`), event.Error, "400", 400},
		"no JSON":         {answering(500, "text/plain", "oops"), event.Error, "500", 500},
		"half a stream":   {answering(200, "text/event-stream", "data: {\"jsonrpc\":"), event.Error, "no_answer", 200},
		"nothing":         {answering(202, "text/plain", ""), event.Success, "", 202},
		"refused":         {answering(403, "text/plain", "no"), event.Denied, "403", 403},
		"no token":        {answering(401, "text/plain", "", "WWW-Authenticate", "Bearer"), event.Denied, "401", 401},
	} {
		t.Run(name, func(t *testing.T) {
			p := front(t, c.handler, nil)
			direct := httptest.NewServer(c.handler)
			defer direct.Close()
			res, err := http.Post(direct.URL, "application/json", strings.NewReader(callText))
			if err != nil {
				t.Fatal(err)
			}
			want, _ := io.ReadAll(res.Body)
			res.Body.Close()
			status, got := p.post(callText)
			if status != c.status || got != string(want) {
				t.Errorf("answer %d %q, want %d %q", status, got, res.StatusCode, want)
			}
			if e := p.one(t); e.Outcome != c.outcome || e.Tool.ErrorCode != c.code || e.Correlation.JSONRPCID != "7" {
				t.Errorf("event %s", e.Canonical())
			}
		})
	}
	t.Run("no server", func(t *testing.T) {
		p := front(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), nil)
		if status, _ := p.post(callText); status != http.StatusBadGateway {
			t.Errorf("status %d", status)
		}
		if e := p.one(t); e.Outcome != event.Error || e.Tool.ErrorCode != "502" {
			t.Errorf("event %s", e.Canonical())
		}
	})
}

// A caller cannot hide a call from the record behind a message that the server
// reads otherwise.
func TestHiddenCalls(t *testing.T) {
	ok := answering(200, "application/json", `{"jsonrpc":"2.0","id":7,"result":{}}`)
	for name, c := range map[string]struct {
		body, kind, tool string
		status           int
	}{
		"another case":          {`{"jsonrpc":"2.0","id":7,"method":"tools/call","Method":"ping","params":{"name":"wipe","Name":"read"}}`, event.TypeToolCall, "wipe", 200},
		"a member twice":        {`{"jsonrpc":"2.0","id":7,"method":"tools/call","method":"ping","params":{"name":"wipe"}}`, "", "", 400},
		"a parameter twice":     {`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"wipe","name":"read"}}`, "", "", 400},
		"escaped":               {`{"jsonrpc":"2.0","id":7,"\u006dethod":"tools\/c\u0061ll","params":{"n\u0061me":"wipe"}}`, event.TypeToolCall, "wipe", 200},
		"in a batch":            {`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"wipe"}}]`, event.TypeToolCall, "wipe", 200},
		"a text as id":          {`{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"name":"wipe"}}`, event.TypeToolCall, "wipe", 200},
		"wrong types":           {`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"wipe","_meta":7,"uri":[]}}`, event.TypeToolCall, "wipe", 200},
		"what Go does not read": {`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"wipe","arguments":NaN}}`, mcpproxy.TypeUnreadable, "", 200},
		"a mark in front":       {"\ufeff" + `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"wipe"}}`, mcpproxy.TypeUnreadable, "", 200},
		"two values":            {callText + callText, mcpproxy.TypeUnreadable, "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			p := front(t, ok, nil)
			if status, text := p.post(c.body); status != c.status {
				t.Errorf("status %d %s", status, text)
			}
			if c.kind == "" {
				p.take(t, 0)
				return
			}
			if e := p.one(t); e.Type != c.kind || e.Tool.Name != c.tool {
				t.Errorf("event %s", e.Canonical())
			}
		})
	}
	p := front(t, ok, nil)
	if status, _ := p.post(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"` + strings.Repeat("x", mcpproxy.MaxRequest) + `"}}`); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a message of 4 MiB: status %d", status)
	}
	p.post("grant_type=client_credentials", "Content-Type", "application/x-www-form-urlencoded") // passes, and is nobody's call
	p.take(t, 0)
}

// A token that does not verify is recorded as such, and passed on.
func TestTokens(t *testing.T) {
	got := make(chan string, 10)
	p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		answering(200, "application/json", `{"jsonrpc":"2.0","id":7,"result":{}}`).ServeHTTP(w, r)
	}), nil)
	good := p.token("a")
	for header, want := range map[string]event.Verified{
		"Bearer " + good:                          event.TokenVerified,
		"bearer  " + good:                         event.TokenVerified,
		"Bearer " + good[:len(good)-6] + "AAAAAA": "failed:signature",
		"Bearer hello":                            "failed:malformed",
		"Basic aGVsbG86d29ybGQ=":                  event.TokenAbsent,
		"":                                        event.TokenAbsent,
	} {
		p.post(callText, "Authorization", header)
		if passed := <-got; passed != header {
			t.Errorf("passed %q, sent %q", passed, header)
		}
		if e := p.one(t); e.Token.Verified != want {
			t.Errorf("%.20s: verified %q, want %q", header, e.Token.Verified, want)
		}
	}
}

// A request that the server refuses before any call: an event, if it had a token.
func TestRefused(t *testing.T) {
	p := front(t, answering(401, "text/plain", ""), nil)
	p.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{"name":"planner"}}}`)
	p.take(t, 0) // that is how OAuth begins
	p.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"clientInfo":{"name":"planner"}}}`, "Authorization", "Bearer "+p.token(""))
	if e := p.one(t); e.Type != mcpproxy.TypeRefused || e.Outcome != event.Denied || e.Tool.ErrorCode != "401" || e.Tool.ServerMethod != "initialize" || e.Client.Name != "planner" || e.Subject.Sub != "alice" {
		t.Errorf("event %s", e.Canonical())
	}
}

// A web page whose name leads to this machine does not get through.
func TestRebinding(t *testing.T) {
	p := front(t, answering(200, "application/json", `{"jsonrpc":"2.0","id":7,"result":{}}`), nil)
	for host, want := range map[string]int{"evil.example": 403, "evil.example:80": 403, "192.0.2.1": 403, "localhost": 200, "LOCALHOST:1": 200, "127.0.0.1:9": 200, "[::1]": 200, "[::1]:9": 200, "127.0.0.1.evil.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url, strings.NewReader(callText))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("host %s: status %d, want %d", host, res.StatusCode, want)
		}
	}
}

// Without a record there is no answer; or, failing open, the next event tells.
func TestUnrecorded(t *testing.T) {
	const result = `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"the secret"}]}}`
	for name, handler := range map[string]http.Handler{
		"JSON":   answering(200, "application/json", result),
		"stream": answering(200, "text/event-stream", "id: 12\nretry: 5\ndata: "+result+"\n\n"),
		"status": answering(403, "text/plain", "the secret"),
		"none":   answering(200, "application/json", `{"text":"the secret"}`),
	} {
		t.Run(name, func(t *testing.T) {
			p := front(t, handler, nil)
			p.fail(errors.New("the queue is full"))
			status, text := p.post(callText, "Authorization", "Bearer x")
			if strings.Contains(text, "secret") || !strings.Contains(text, "audit unavailable") {
				t.Errorf("closed: %d %s", status, text)
			}
			if name == "stream" && !strings.Contains(text, "id: 12\n") {
				t.Errorf("the event's id is lost: %q", text)
			}
			p.fail(nil)
			p.take(t, 0)

			p = front(t, handler, func(c *mcpproxy.Config) { c.FailOpen = true })
			p.fail(errors.New("the queue is full"))
			for range 2 {
				if _, text := p.post(callText, "Authorization", "Bearer x"); !strings.Contains(text, "secret") {
					t.Errorf("open: %s", text)
				}
			}
			p.fail(nil)
			p.post(callText, "Authorization", "Bearer x")
			if e := p.one(t); !slices.ContainsFunc(e.Warnings, func(w string) bool { return strings.HasPrefix(w, "2 events before this one could not be recorded") }) {
				t.Errorf("event %s", e.Canonical())
			}
		})
	}
}

// The answer comes on a stream that the client opens again; or never.
func TestResumed(t *testing.T) {
	const session = "s-1"
	resumed := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.Method == http.MethodPost { // and ends the stream
			io.WriteString(w, "id: 1\ndata:\n\n")
			return
		}
		close(resumed)
		io.WriteString(w, "id: 2\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n")
	})
	p := front(t, handler, func(c *mcpproxy.Config) { c.AnswerTimeout = 10 * time.Second })
	p.post(callText, "Mcp-Session-Id", session)
	p.take(t, 0)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/mcp", nil)
	req.Header.Set("Mcp-Session-Id", session)
	req.Header.Set("Last-Event-ID", "1")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	<-resumed
	if e := p.one(t); e.Outcome != event.Success || e.Correlation.SessionID != session {
		t.Errorf("event %s", e.Canonical())
	}
	p = front(t, handler, func(c *mcpproxy.Config) { c.AnswerTimeout = 20 * time.Millisecond })
	p.post(callText, "Mcp-Session-Id", session)
	if e := p.one(t); e.Outcome != event.Error || e.Tool.ErrorCode != "no_answer" {
		t.Errorf("event %s", e.Canonical())
	}
}

// Events of a stream pass one by one, while the stream is open.
func TestStreamIsNotHeld(t *testing.T) {
	next := make(chan struct{})
	p := front(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"n\":%d}\n\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
		io.WriteString(w, "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n")
	}), nil)
	res, err := http.Post(p.url, "application/json", strings.NewReader(callText))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	buffer := make([]byte, 4096)
	for i := range 3 {
		n, err := res.Body.Read(buffer)
		if err != nil || !bytes.Contains(buffer[:n], fmt.Appendf(nil, `"n":%d}`, i)) {
			t.Fatalf("event %d: %q, %v", i, buffer[:n], err)
		}
		next <- struct{}{}
	}
	io.Copy(io.Discard, res.Body)
	p.one(t)
}
