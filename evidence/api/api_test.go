package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// What is published is what the code says.
func TestDocumentIsCurrent(t *testing.T) {
	_, raw := document(t)
	file, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, file) {
		t.Error(`docs/reference/openapi.json is not current: run "make generate"`)
	}
}

// The table of docs/api.md is the one of the code.
func TestRolesAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range api.Permissions() {
		row := "| `" + string(p) + "` |"
		for _, r := range api.Roles {
			mark := " |"
			if slices.Contains(api.Grants(p), r) {
				mark = " yes |"
			}
			row += mark
		}
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/api.md has no row %s", row)
		}
	}
}

// Every operation is open to the roles that the document says, to no other, and to
// nobody who is not known.
func TestEveryOperationWantsItsRole(t *testing.T) {
	t.Parallel()
	p, _ := document(t)
	var callers []caller
	for _, r := range api.Roles {
		callers = append(callers, caller{string(r), r, []string{"acme"}})
	}
	s := serve(t, api.Config{Connect: nowhere}, callers...)
	fill := strings.NewReplacer("{id}", story.Named("deploy-call").ID, "{key}", "ab", "{name}", "x")
	for path, methods := range p.Paths {
		for method, op := range methods {
			if len(op.Roles) == 0 {
				t.Errorf("%s is for nobody", op.OperationID)
			}
			var open []string
			for _, r := range api.Roles {
				if a := s.as(string(r), strings.ToUpper(method), fill.Replace(path), nil); a.status != http.StatusForbidden {
					open = append(open, string(r))
				}
			}
			if diff := cmp.Diff(op.Roles, open); diff != "" {
				t.Errorf("%s (-document +server):\n%s", op.OperationID, diff)
			}
			for what, bearer := range map[string]string{"nobody": "", "an unknown key": "cst_" + strings.Repeat("b", 43)} {
				if a := s.as(bearer, strings.ToUpper(method), fill.Replace(path), nil); a.status != http.StatusUnauthorized {
					t.Errorf("%s answers %s with %d", op.OperationID, what, a.status)
				}
			}
		}
	}
}

// Pages follow each other without a gap or an event twice, and each answer says
// that it is not all.
func TestPages(t *testing.T) {
	t.Parallel()
	s := serve(t, api.Config{Connect: twoWalls(tell(t))}, caller{"soc", api.Analyst, []string{"acme"}})
	var got []string
	for target, pages := "/api/v1/events?limit=7", 0; ; pages++ {
		page := get[struct {
			Events []*event.Event
			Next   string
			Cut    []string
		}](s, "soc", target)
		for _, e := range page.Events {
			got = append(got, e.ID)
		}
		if (page.Next != "") != (len(page.Cut) == 1) {
			t.Errorf("page %d: next %q, cut %q", pages, page.Next, page.Cut)
		}
		if page.Next == "" {
			break
		}
		target = "/api/v1/events?limit=7&after=" + page.Next
	}
	var want []string
	for _, e := range ofTenant("acme") {
		if !slices.Contains(want, e.ID) {
			want = append(want, e.ID)
		}
	}
	sorted := slices.Clone(got)
	slices.Sort(sorted)
	slices.Sort(want)
	if diff := cmp.Diff(want, sorted); diff != "" {
		t.Errorf("events of all pages (-want +got):\n%s", diff)
	}
}

// A read is an event of the tenant that was read, with who asked what and how many
// rows, and without them; one that cannot be recorded is not answered.
func TestReadsAreRecorded(t *testing.T) {
	t.Parallel()
	c := tell(t)
	callers := []caller{{"soc", api.Analyst, []string{"acme"}}, {"boss", api.Admin, []string{api.AllTenants}}}
	s := serve(t, api.Config{Connect: twoWalls(c)}, callers...)
	token := story.Tokens()[0]
	for _, x := range []struct {
		as, method, target string
		body               any
		status             int
		tenant, action     string
		outcome            event.Outcome
		attributes         map[string]string
	}{
		{"soc", "GET", "/api/v1/events?filter=tool:deploy_service+kind:tool_invocation", nil, 200, "acme", "search-events", event.Success,
			map[string]string{"query.filter": "tool:deploy_service kind:tool_invocation", "rows": "1", "path": "/api/v1/events", "by": "key", "permission": "events", "status": "200"}},
		{"soc", "GET", "/api/v1/events/" + story.Named("refund-call").ID, nil, 404, "acme", "get-event", event.Success, map[string]string{"rows": "0", "status": "404"}},
		{"soc", "GET", "/api/v1/events?tenant=globex", nil, 403, "acme", "search-events", event.Denied, map[string]string{"query.tenant": "globex", "rows": "0"}},
		{"soc", "GET", "/api/v1/quarantine", nil, 403, "acme", "list-quarantine", event.Denied, nil},
		{"boss", "GET", "/api/v1/findings?tenant=globex", nil, 200, "globex", "list-findings", event.Success, nil},
		{"boss", "GET", "/api/v1/findings", nil, 200, "custody", "list-findings", event.Success, nil},
		{"boss", "POST", "/api/v1/chain", map[string]string{"token": token}, 200, "custody", "get-chain-of-token", event.Success, map[string]string{"body.token": event.TokenRef(token)}},
		{"soc", "GET", "/api/v1/events?filter=nofield:x", nil, 422, "acme", "search-events", event.Error, map[string]string{"rows": "0"}},
	} {
		a := s.as(x.as, x.method, x.target, x.body)
		taken := s.book.taken()
		if a.status != x.status || len(taken) != 1 {
			t.Errorf("%s: %d, %d events; want %d and 1: %s", x.target, a.status, len(taken), x.status, a.body)
			continue
		}
		e := taken[0]
		if e.Tenant != x.tenant || e.Kind != event.Session || e.Type != api.TypeRead || e.Subject.Sub != x.as || e.Decision.Action != x.action || e.Outcome != x.outcome {
			t.Errorf("%s: recorded %s", x.target, e.Canonical())
		}
		for name, want := range x.attributes {
			if e.Attributes[name] != want {
				t.Errorf("%s: %s is recorded as %q, want %q", x.target, name, e.Attributes[name], want)
			}
		}
		text := string(e.Canonical())
		if strings.Contains(text, s.keys[x.as]) || x.body != nil && strings.Contains(text, token) {
			t.Errorf("%s: the record has a secret: %s", x.target, text)
		}
		e.ID, e.SchemaVersion, e.Source.ID, e.Source.Type = event.NewID(e.Tenant, api.Source, e.Source.EventID, e.Time), event.SchemaVersion, api.Source, api.Source
		if err := e.Validate(); err != nil {
			t.Errorf("%s: no valid event: %v", x.target, err)
		}
	}
	if get[map[string]any](s, "soc", "/api/v1/whoami"); len(s.book.taken()) != 0 {
		t.Error("whoami is recorded and reads nothing")
	}
	s.book.fail(true)
	if a := s.as("soc", "GET", "/api/v1/events", nil); a.status != 503 || a.header.Get("Retry-After") == "" || bytes.Contains(a.body, []byte("acme")) {
		t.Errorf("a read that cannot be recorded: %d %s", a.status, a.body)
	}
	open := serve(t, api.Config{Connect: twoWalls(c), FailOpen: true}, callers...)
	open.book.fail(true)
	if a := open.as("soc", "GET", "/api/v1/events", nil); a.status != 200 {
		t.Errorf("fail open: %d %s", a.status, a.body)
	}
}

// What is wrong with a request is said by field, as a problem document, and what
// was sent is not repeated.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const secret = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0.c2ln"
	s := serve(t, api.Config{Connect: twoWalls(tell(t)), Limits: api.Limits{Rows: 200}},
		caller{"soc", api.Analyst, []string{"acme"}}, caller{"two", api.Analyst, []string{"acme", "globex"}}, caller{"new", api.Analyst, []string{"unheard-of"}})
	for _, x := range []struct {
		what, as, method, target string
		body                     any
		status                   int
		says                     string
	}{
		{"nobody", "", "GET", "/api/v1/events", nil, 401, "Authorization: Bearer"},
		{"an unknown key", "cst_" + strings.Repeat("a", 43), "GET", "/api/v1/events", nil, 401, "unknown, expired or disabled"},
		{"a token where none is accepted", secret, "GET", "/api/v1/events", nil, 401, "of no kind that is accepted"},
		{"a role that may not", "soc", "GET", "/api/v1/quarantine", nil, 403, "permission quarantine"},
		{"another tenant", "soc", "GET", "/api/v1/events?tenant=globex", nil, 403, "not one of yours"},
		{"a tenant that nobody has", "soc", "GET", "/api/v1/events?tenant=nosuch", nil, 403, "not one of yours"},
		{"all tenants", "soc", "GET", "/api/v1/events?tenant=*", nil, 422, "query.tenant"},
		{"SQL as a tenant", "soc", "GET", "/api/v1/events?tenant=a'+OR+1", nil, 422, "query.tenant"},
		{"no tenant where one has two", "two", "GET", "/api/v1/events", nil, 422, "acme, globex"},
		{"a tenant without a database user", "new", "GET", "/api/v1/events", nil, 503, "database user"},
		{"too many rows", "soc", "GET", "/api/v1/events?limit=201", nil, 422, "want at most 200"},
		{"a huge limit", "soc", "GET", "/api/v1/events?limit=100000000", nil, 422, "query.limit"},
		{"no number", "soc", "GET", "/api/v1/events?limit=x", nil, 422, "query.limit"},
		{"no rows", "soc", "GET", "/api/v1/findings?limit=0", nil, 422, "query.limit"},
		{"an unknown field in a filter", "soc", "GET", "/api/v1/events?filter=nofield:x", nil, 422, "query.filter"},
		{"half a filter", "soc", "GET", "/api/v1/events?filter=%22", nil, 422, "query.filter"},
		{"a filter without end", "soc", "GET", "/api/v1/events?filter=" + strings.Repeat("a", 2001), nil, 422, "query.filter"},
		{"no place", "soc", "GET", "/api/v1/events?after=" + secret, nil, 422, "query.after"},
		{"an unknown parameter", "soc", "GET", "/api/v1/events?limits=3", nil, 422, "query.limits"},
		{"no id", "soc", "GET", "/api/v1/events/1", nil, 422, "path.id"},
		{"a zero byte as an id", "soc", "GET", "/api/v1/events/%00", nil, 422, "path.id"},
		{"a path as an id", "soc", "GET", "/api/v1/events/..%2Fquarantine", nil, 422, "path.id"},
		{"no such event", "soc", "GET", "/api/v1/events/" + story.Named("refund-call").ID, nil, 404, "not found"},
		{"no start", "soc", "GET", "/api/v1/chain?start=" + secret, nil, 422, "query.start"},
		{"no token", "soc", "POST", "/api/v1/chain", map[string]string{}, 422, "body"},
		{"a token too much", "soc", "POST", "/api/v1/chain", map[string]string{"token": secret, "more": secret}, 422, "body.more"},
		{"a body that is too large", "soc", "POST", "/api/v1/chain", map[string]string{"token": strings.Repeat("a", 70_000)}, 413, ""},
		{"no severity", "soc", "GET", "/api/v1/findings?severity=urgent", nil, 422, "query.severity"},
		{"no key", "soc", "GET", "/api/v1/findings/xyz", nil, 422, "path.key"},
		{"no finding", "soc", "GET", "/api/v1/findings/00000000000000000000", nil, 404, "no such finding"},
		{"no time", "soc", "GET", "/api/v1/registry?at=noon", nil, 422, "query.at"},
		{"no operation", "soc", "GET", "/api/v1/nothing", nil, 404, "openapi.json"},
		{"no operation, by nobody", "", "GET", "/api/v1/nothing", nil, 401, ""},
		{"outside", "soc", "GET", "/etc/passwd", nil, 404, ""},
		{"another method", "soc", "DELETE", "/api/v1/events", nil, 404, ""},
	} {
		a := s.as(x.as, x.method, x.target, x.body)
		var p api.Problem
		if err := json.Unmarshal(a.body, &p); err != nil || a.status != x.status || p.Status != x.status || p.Title == "" || !strings.Contains(string(a.body), x.says) {
			t.Errorf("%s: %d %s, want %d and %q", x.what, a.status, a.body, x.status, x.says)
		}
		if got := a.header.Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: Content-Type %q", x.what, got)
		}
		if bytes.Contains(a.body, []byte(secret)) || bytes.Contains(a.body, []byte("globex")) && x.as != "two" {
			t.Errorf("%s: the answer repeats what was sent, or tells of others: %s", x.what, a.body)
		}
		if x.status == 401 && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", x.what)
		}
		for _, name := range []string{"X-Content-Type-Options", "Cache-Control", "Content-Security-Policy", "Referrer-Policy"} {
			if a.header.Get(name) == "" {
				t.Errorf("%s: no %s", x.what, name)
			}
		}
	}
}

// A caller has so many requests at a time, and all together so many; who comes on
// top is told so at once, and a place that is left is free.
func TestAtATime(t *testing.T) {
	t.Parallel()
	s := serve(t, api.Config{Connect: twoWalls(tell(t)), Limits: api.Limits{PerCaller: 2, Together: 3}},
		caller{"a", api.Analyst, []string{"acme"}}, caller{"b", api.Analyst, []string{"acme"}})
	s.book.entered, s.book.leave = make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	begin := func(as string) {
		running.Go(func() {
			if a := s.as(as, "GET", "/api/v1/events?limit=1", nil); a.status != http.StatusOK {
				t.Errorf("%s: %d %s", as, a.status, a.body)
			}
		})
		<-s.book.entered
	}
	want := func(as string, status int, says string) {
		t.Helper()
		if a := s.as(as, "GET", "/api/v1/whoami", nil); a.status != status || !strings.Contains(string(a.body), says) || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s, want %d", as, a.status, a.body, status)
		}
	}
	begin("a")
	begin("a")
	want("a", 429, "2 of your requests are running")
	begin("b")
	want("b", 503, "as many questions as may be")
	for range 3 {
		s.book.leave <- struct{}{}
	}
	running.Wait()
	if a := s.as("a", "GET", "/api/v1/whoami", nil); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

// A secret in hand is found by the reference under the installation's key too.
func TestChainOfASecret(t *testing.T) {
	t.Parallel()
	c := embeddedtest.StartClickHouse(t, "acme")
	reference := func(secret string) string { return event.SecretRef("k1", make([]byte, 32), secret) }
	e := story.Named("deploy-call")
	e.Token.Ref = reference("hunter2")
	c.Store(t, &table.Record{Position: table.Position{Topic: "custody.events", Epoch: "e"}, LogTime: e.ObservedTime.Go(), State: table.Stored, Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e})
	for ref, status := range map[string]int{"with the key": 200, "without": 404} {
		cfg := api.Config{Connect: twoWalls(c)}
		if status == 200 {
			cfg.SecretRef = reference
		}
		s := serve(t, cfg, caller{"ir", api.Responder, []string{"acme"}})
		for _, path := range []string{"/api/v1/chain", "/api/v1/blast"} {
			if a := s.as("ir", "POST", path, map[string]string{"token": "hunter2"}); a.status != status || bytes.Contains(a.body, []byte("hunter2")) {
				t.Errorf("%s %s: %d %s", path, ref, a.status, a.body)
			}
		}
	}
}

// A caller who asks too often, or too much at a time, is told to come back.
func TestRate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := serve(t, api.Config{Connect: twoWalls(tell(t)), Limits: api.Limits{PerSecond: 1, Burst: 3}, Now: func() time.Time { return now }},
		caller{"soc", api.Analyst, []string{"acme"}}, caller{"other", api.Analyst, []string{"acme"}})
	var statuses []int
	for range 5 {
		statuses = append(statuses, s.as("soc", "GET", "/api/v1/whoami", nil).status)
	}
	if diff := cmp.Diff([]int{200, 200, 200, 429, 429}, statuses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if a := s.as("soc", "GET", "/api/v1/whoami", nil); a.header.Get("Retry-After") == "" {
		t.Errorf("429 without Retry-After: %s", a.body)
	}
	if a := s.as("other", "GET", "/api/v1/whoami", nil); a.status != http.StatusOK {
		t.Errorf("another caller: %d %s", a.status, a.body)
	}
}
