package console_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/deploy/storytest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/console"
	"github.com/custody-audit/custody/evidence/proof"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

var quiet = slog.New(slog.DiscardHandler)

// site is a console over the story, with one API key for each role and tenant that
// visitors may be.
type site struct {
	testing.TB
	url  string
	api  *api.Server
	keys map[string]string
	book *book
	hold *atomic.Bool // exports after their first bytes, until who asked goes away
}

// noEvent is a record that somebody wrote past the collectors, to be shown.
var noEvent = `{"tenant":"acme","note":"` + hostile[0] + "\u202e\xff" + strings.Repeat(" more", 300)

// aClaim is what a collector records when a source of acme claims to be somebody else.
func aClaim() *event.Event {
	at := event.TimeOf(time.Now().Add(-10 * time.Minute))
	e := &event.Event{
		SchemaVersion: event.SchemaVersion, Kind: event.PermissionDecision, Type: collector.TypeClaim, Time: at, ObservedTime: at, Tenant: "acme",
		Source: event.Source{ID: "custody", Type: "custody", EventID: "a-claim"}, Outcome: event.Denied, Salt: event.NewSalt(), Subject: event.Party{Iss: "custody", Sub: "acme-github-mcp", Type: event.Service},
		Decision: event.Decision{ID: "a-claim", Effect: event.Deny, Engine: "custody", Policy: "sources", Action: "report", Resource: "tenant other" + hostile[0], Reason: "3 of its native events claimed what the source may not say"},
	}
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
	return e
}

// callers are who may visit: ROLE is of all tenants, ROLE@TENANT of one.
var callers = []string{"admin", "analyst", "analyst@acme", "analyst@globex", "responder@acme", "auditor", "auditor@acme", "reviewer@acme"}

// book keeps what is recorded.
type book struct {
	mu     sync.Mutex
	events []*event.Event // guarded by mu
}

func (b *book) Record(_ context.Context, e *event.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	return nil
}

// taken returns what was recorded since it was asked last.
func (b *book) taken() []*event.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.events = nil }()
	return b.events
}

// open starts a console over the story and more events.
func open(t testing.TB, more ...*event.Event) *site {
	t.Helper()
	c := storytest.Tell(t, append(slices.Clone(more), aClaim())...)
	storytest.Bury(t, c, noEvent, "kind: is required")
	bundles, text := storytest.Seal(t, c)
	policy, err := proof.ParsePolicy(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{TB: t, keys: map[string]string{}, book: &book{}, hold: &atomic.Bool{}}
	var fixed []api.Key
	for _, name := range callers {
		role, tenant, one := strings.Cut(name, "@")
		if !one {
			tenant = api.AllTenants
		}
		key, hash := api.NewKey()
		s.keys[name] = key
		k := api.Key{ID: strings.ReplaceAll(name, "@", "-"), Roles: []api.Role{api.Role(role)}, Tenants: []string{tenant}, KeySHA256: hash}
		if role == string(api.Reviewer) {
			k.Owner = "alice@acme.example"
		}
		fixed = append(fixed, k)
	}
	keys, err := api.NewKeys(api.KeysConfig{Fixed: fixed, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s.api, err = api.New(api.Config{
		Connect: storytest.TwoWalls(c), History: storytest.Handler(t, c), Proof: bundles, Policy: policy, Recorder: s.book, Keys: keys, QueriesDir: t.TempDir(), Links: true, Home: "/",
		Limits: api.Limits{PerSecond: 10_000, Burst: 10_000, PerCaller: 50, Together: 50, Timeout: time.Minute}, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.api.Close() })
	h, err := console.New(console.Config{API: s.api, Links: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.holding(h))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// holding serves exports that take as long as somebody waits, while they are held.
func (s *site) holding(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.Prefix+"/export" && s.hold.Load() {
			w = &held{ResponseWriter: w, until: r.Context().Done()}
		}
		h.ServeHTTP(w, r)
	})
}

// held lets the first bytes through.
type held struct {
	http.ResponseWriter
	until <-chan struct{}
	begun bool
}

func (h *held) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h *held) Write(b []byte) (int, error) {
	if h.begun {
		<-h.until
		return 0, http.ErrHandlerTimeout
	}
	h.begun = true
	return h.ResponseWriter.Write(b)
}

// link begins a session of a caller, once.
func (s *site) link(caller string) string {
	s.Helper()
	path, err := s.api.Link(s.keys[caller])
	if err != nil {
		s.Fatal(err)
	}
	return s.url + path
}

// visitor is a browser as far as HTTP goes.
type visitor struct {
	*site
	name   string
	client *http.Client
}

// visit logs a caller in; an empty name is nobody.
func (s *site) visit(caller string) *visitor {
	s.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	v := &visitor{s, caller, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if caller != "" {
		if a := v.get(strings.TrimPrefix(s.link(caller), s.url)); a.status != http.StatusSeeOther || a.header.Get("Location") != "/" {
			s.Fatalf("login of %s: %d to %q", caller, a.status, a.header.Get("Location"))
		}
	}
	return v
}

// answer is a page that came.
type answer struct {
	status int
	header http.Header
	body   string
}

func (v *visitor) get(path string) answer {
	v.Helper()
	return v.do(http.MethodGet, path, nil, nil)
}

// post sends a form as a page of the console does.
func (v *visitor) post(path string, form url.Values) answer {
	v.Helper()
	return v.do(http.MethodPost, path, form, http.Header{"Origin": {v.url}, "Sec-Fetch-Site": {"same-origin"}})
}

func (v *visitor) do(method, path string, form url.Values, header http.Header) answer {
	v.Helper()
	req, err := http.NewRequestWithContext(v.Context(), method, v.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := v.client.Do(req)
	if err != nil {
		v.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// page is a page that is there.
func (v *visitor) page(path string) string {
	v.Helper()
	a := v.get(path)
	if a.status != http.StatusOK {
		v.Fatalf("%s: %s: %d %s", v.name, path, a.status, a.body)
	}
	return a.body
}

// hostile are texts that a page must show and not obey.
var hostile = []string{
	`<script>document.title='owned'</script>`, `"><img src=x onerror="document.title='owned'">`, "\u202eevil\u2066", "a\x00b\x1b[2J", `javascript:document.title='owned'`, `{{.Who}}`, `=cmd|'/c calc'!A1`,
}

// hostileEvents are events of tenant evil, of the last hour, in which every name is one of
// those texts, or as long as a source may make it.
var hostileEvents = sync.OnceValue(func() (out []*event.Event) {
	for i, text := range append(hostile, strings.Repeat("ü-long ", event.MaxString/8)) {
		e := story.Named("refund-call")
		e.Tenant, e.Source.EventID, e.Salt = "evil", fmt.Sprintf("evil-%d", i), event.NewSalt()
		e.Time = event.TimeOf(time.Now().Add(-time.Duration(i+1) * time.Minute))
		e.ObservedTime = e.Time
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		e.Subject.Sub, e.Subject.Name, e.Actor.Sub, e.Server.ID, e.Server.Name, e.Tool.Name, e.UserAgent, e.Client.Name = text, text, text, text, text, text, text, text
		e.Tool.Arguments = strings.Repeat(text, event.MaxArguments/len(text))
		e.Attributes = map[string]string{"note": text}
		e.Warnings = []string{text}
		out = append(out, e)
	}
	return out
})
