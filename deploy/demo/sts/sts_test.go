package sts_test

import (
	"context"
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
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/deploy/demo/sts"
	"github.com/custody-audit/custody/schemas/event"
)

const (
	issuer = "https://sts.acme.example"
	github = "https://github-mcp.acme.example/mcp"
	deploy = "https://deploy-mcp.acme.example/mcp"
)

type world struct {
	t      *testing.T
	url    string
	alice  *sts.Human
	mu     sync.Mutex
	events []*event.Event // guarded by mu
	broken error          // guarded by mu
}

func (w *world) Emit(_ context.Context, e *event.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.events = append(w.events, e)
	}
	return w.broken
}

func newWorld(t *testing.T) *world {
	t.Helper()
	alice, err := sts.NewHuman("alice")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, alice: alice}
	all := []string{"repo:read", "repo:write", "deploy:run"}
	s, err := sts.New(sts.Config{
		Issuer: issuer, Sink: w, Logger: slog.New(slog.DiscardHandler),
		Users: []sts.User{{ID: "alice", Key: alice.Public(), Scope: []string{"repo:read", "repo:write", "deploy:run"}}},
		Clients: []sts.Client{
			{ID: "planner", Secret: "p", Type: event.Agent, May: map[string][]string{github: all}},
			{ID: "github-mcp", Secret: "g", Type: event.MCP, May: map[string][]string{deploy: {"deploy:run"}}},
			{ID: "lax", Secret: "l", Type: event.Agent, Lax: true, May: map[string][]string{github: all}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) caller(id, secret string) *sts.Caller {
	return &sts.Caller{TokenURL: w.url + sts.TokenPath, ID: id, Secret: secret, HTTP: http.DefaultClient}
}

func (w *world) login(scope ...string) sts.Token {
	w.t.Helper()
	assertion, err := w.alice.Assertion(issuer, "txn-1", "task-1")
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := w.caller("", "").Login(w.t.Context(), assertion, scope)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) exchange(id, secret string, subject sts.Token, audience string, scope ...string) (sts.Token, error) {
	w.t.Helper()
	c := w.caller(id, secret)
	own, err := c.Own(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Exchange(w.t.Context(), subject, own, audience, scope)
}

func (w *world) must(token sts.Token, err error) sts.Token {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

func (w *world) last() *event.Event { return w.events[len(w.events)-1] }

type claims struct {
	jwt.Claims
	Scope string         `json:"scope"`
	Act   map[string]any `json:"act"`
	Txn   string         `json:"txn"`
	Task  string         `json:"task_id"`
}

// claims verifies the token by the published keys, as a resource server would.
func (w *world) claims(token sts.Token) claims {
	w.t.Helper()
	res, err := http.Get(w.url + sts.JWKSPath)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(res.Body).Decode(&keys); err != nil {
		w.t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token.Raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		w.t.Fatal(err)
	}
	var c claims
	if err := parsed.Claims(keys, &c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestDelegationNestsActors(t *testing.T) {
	w := newWorld(t)
	alice := w.login("repo:read", "repo:write", "deploy:run")
	first := w.must(w.exchange("planner", "p", alice, github, "repo:write", "deploy:run"))
	second := w.must(w.exchange("github-mcp", "g", first, deploy, "deploy:run"))

	got := w.claims(second)
	want := claims{
		Claims: jwt.Claims{Issuer: issuer, Subject: "alice", Audience: jwt.Audience{deploy}}, Scope: "deploy:run", Txn: "txn-1", Task: "task-1",
		Act: map[string]any{"iss": issuer, "sub": "github-mcp", "act": map[string]any{"iss": issuer, "sub": "planner"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(jwt.Claims{}, "ID", "Expiry", "NotBefore", "IssuedAt")); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if life := got.Expiry.Time().Sub(got.IssuedAt.Time()); got.ID == "" || life <= 0 || life > 5*time.Minute {
		t.Errorf("jti %q, lifetime %s", got.ID, life)
	}
}

func TestExchangeEvent(t *testing.T) {
	w := newWorld(t)
	alice := w.login("repo:read", "repo:write")
	c := w.caller("planner", "p")
	own := w.must(c.Own(t.Context()))
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: [16]byte{1}, SpanID: [8]byte{2}, TraceFlags: trace.FlagsSampled})
	issued := w.must(c.Exchange(trace.ContextWithSpanContext(t.Context(), span), alice, own, github, []string{"repo:read"}))

	e, party := w.last(), event.Party{Iss: issuer, Sub: "alice", Type: event.Human}
	want := &event.Event{
		Kind: event.TokenExchange, Type: event.TypeTokenExchange, Outcome: event.Success, Subject: party,
		Actor: event.Party{Iss: issuer, Sub: "planner", Type: event.Agent}, Chain: []event.Link{{Iss: issuer, Sub: "planner", Type: event.Agent}},
		ChainRule: event.SubjectChained, ChainRaw: `{"iss":"` + issuer + `","sub":"planner"}`, Client: event.Client{ID: "planner", Verified: true},
		Token: event.Token{Ref: alice.Ref(), Iss: issuer, Audience: []string{issuer}, Scope: []string{"repo:read", "repo:write"}, TokenType: "Bearer", Verified: event.TokenVerified},
		Exchange: event.Exchange{
			GrantType: "urn:ietf:params:oauth:grant-type:token-exchange", SubjectTokenRef: alice.Ref(), ActorTokenRef: own.Ref(), IssuedTokenRef: issued.Ref(),
			RequestedTokenType: "urn:ietf:params:oauth:token-type:access_token", IssuedTokenType: "urn:ietf:params:oauth:token-type:access_token",
			RequestedScope: []string{"repo:read"}, SubjectScope: []string{"repo:read", "repo:write"}, GrantedScope: []string{"repo:read"},
			RequestedAudience: []string{github}, Resource: []string{github},
		},
		Correlation: event.Correlation{TraceID: span.TraceID().String(), ParentSpanID: span.SpanID().String(), TaskID: "task-1", TransactionID: "txn-1"},
	}
	if diff := cmp.Diff(want, e, cmpopts.IgnoreFields(event.Event{}, "Time", "ClientAddress", "UserAgent"),
		cmpopts.IgnoreFields(event.Token{}, "JTI", "IssuedAt", "NotBefore", "ExpiresAt"), cmpopts.IgnoreFields(event.Exchange{}, "ExpiresIn")); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if e.Token.JTI == "" || e.Token.ExpiresAt <= e.Token.IssuedAt || e.Exchange.ExpiresIn < 290 || e.Exchange.ExpiresIn > 300 {
		t.Errorf("token %+v, exchange %+v", e.Token, e.Exchange)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	alice := w.login("repo:read")
	check := func(err error, code string, outcome event.Outcome) {
		t.Helper()
		var refusal *sts.Refusal
		if !errors.As(err, &refusal) || refusal.Code != code {
			t.Errorf("got %v, want %s", err, code)
		}
		if e := w.last(); e.Kind != event.TokenExchange || e.Outcome != outcome || e.Attributes["oauth.error"] != code || e.Exchange.IssuedTokenRef != "" || e.Exchange.SubjectTokenRef == "" {
			t.Errorf("event is %s", e.Canonical())
		}
	}
	_, err := w.exchange("planner", "p", alice, deploy, "deploy:run")
	check(err, "invalid_target", event.Denied)
	_, err = w.exchange("planner", "p", alice, github, "repo:write")
	check(err, "invalid_scope", event.Denied)
	_, err = w.exchange("github-mcp", "g", alice, deploy, "repo:read")
	check(err, "invalid_scope", event.Denied)
	forged := sts.Token{Raw: alice.Raw[:strings.LastIndex(alice.Raw, ".")+1] + strings.Repeat("A", 86)}
	_, err = w.exchange("planner", "p", forged, github, "repo:read")
	check(err, "invalid_request", event.Error)
	_, err = w.caller("planner", "guess").Exchange(t.Context(), alice, alice, github, nil)
	check(err, "invalid_client", event.Denied)
	_, err = w.caller("planner", "p").Exchange(t.Context(), alice, alice, github, []string{"repo:read"})
	check(err, "invalid_request", event.Error) // alice's own token is no actor token of planner
}

func TestLaxClientWidens(t *testing.T) {
	w := newWorld(t)
	wide := w.must(w.exchange("lax", "l", w.login("repo:read"), github, "repo:read", "repo:write"))
	if got := w.claims(wide).Scope; got != "repo:read repo:write" {
		t.Errorf("scope %q", got)
	}
	if x := w.last().Exchange; x.StepUp || cmp.Diff(x.SubjectScope, []string{"repo:read"}) != "" || len(x.GrantedScope) != 2 {
		t.Errorf("exchange %+v", x)
	}
}

func TestStepUpIsTold(t *testing.T) {
	w := newWorld(t)
	alice := w.login("repo:read", "repo:write")
	for _, c := range []struct {
		scope []string
		want  bool
	}{
		{[]string{"repo:read"}, false},
		{[]string{"repo:read"}, false},
		{[]string{"repo:read", "repo:write"}, true},
		{[]string{"repo:write"}, false},
	} {
		w.must(w.exchange("planner", "p", alice, github, c.scope...))
		if got := w.last().Exchange.StepUp; got != c.want {
			t.Errorf("%v: step_up %v, want %v", c.scope, got, c.want)
		}
	}
}

func TestLogin(t *testing.T) {
	w := newWorld(t)
	alice := w.login("repo:read")
	e := w.last()
	if e.Kind != event.Credential || e.Type != event.TypeCredentialIssued || e.Token.Ref != alice.Ref() || e.Subject.Sub != "alice" ||
		e.Subject.Type != event.Human || e.Correlation.TaskID != "task-1" || e.Correlation.TransactionID != "txn-1" {
		t.Errorf("event is %s", e.Canonical())
	}
	stranger, err := sts.NewHuman("alice")
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := stranger.Assertion(issuer, "txn-2", "task-2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.caller("", "").Login(t.Context(), assertion, []string{"repo:read"}); err == nil {
		t.Error("a login with another key is accepted")
	}
	if e := w.last(); e.Type != "credential.refused" || e.Outcome == event.Success || e.Token.Ref != event.TokenRef(assertion) {
		t.Errorf("event is %s", e.Canonical())
	}
}

func TestNoTokenWithoutItsEvent(t *testing.T) {
	w := newWorld(t)
	w.broken = errors.New("collector gone")
	token, err := w.caller("planner", "p").Own(t.Context())
	if err == nil || token.Raw != "" {
		t.Errorf("a token was issued unrecorded: %v", err)
	}
}

func TestTokenPrintsAsReference(t *testing.T) {
	k := sts.Token{Raw: "secret"}
	if s := k.String(); strings.Contains(s, "secret") || s != event.TokenRef("secret") {
		t.Errorf("got %s", s)
	}
}
