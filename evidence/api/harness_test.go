package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/deploy/storytest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
)

var (
	tenants = storytest.Tenants
	quiet   = slog.New(slog.DiscardHandler)
)

// tell stores the story in a real ClickHouse.
func tell(t testing.TB) *embeddedtest.ClickHouse {
	t.Helper()
	return storytest.Tell(t)
}

func twoWalls(c *embeddedtest.ClickHouse) api.Connect { return storytest.TwoWalls(c) }

func handler(t testing.TB, c *embeddedtest.ClickHouse) driver.Conn {
	t.Helper()
	return storytest.Handler(t, c)
}

// book keeps what is recorded, as long as it does not fail.
type book struct {
	entered, leave chan struct{} // when set, a record says that it comes, and waits
	mu             sync.Mutex
	fails          bool           // guarded by mu
	events         []*event.Event // guarded by mu
}

func (b *book) Record(_ context.Context, e *event.Event) error {
	if b.entered != nil {
		b.entered <- struct{}{}
		<-b.leave
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails {
		return errors.New("kafka is away")
	}
	b.events = append(b.events, e)
	return nil
}

func (b *book) fail(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = yes
}

// taken returns what was recorded since it was asked last.
func (b *book) taken() []*event.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.events = nil }()
	return b.events
}

// server is an API with the keys of these callers.
type server struct {
	testing.TB
	url    string
	client *http.Client
	book   *book
	keys   map[string]string
}

// caller is an API key in the making.
type caller struct {
	id      string
	role    api.Role
	tenants []string
}

// owner is the name that a reviewer has in registries.
func (c caller) owner() string {
	if c.role != api.Reviewer {
		return ""
	}
	return c.id + "@acme.example"
}

func serve(t testing.TB, cfg api.Config, callers ...caller) *server {
	t.Helper()
	s := &server{TB: t, book: &book{}, keys: map[string]string{}}
	var fixed []api.Key
	for _, c := range callers {
		key, hash := api.NewKey()
		s.keys[c.id] = key
		fixed = append(fixed, api.Key{ID: c.id, Roles: []api.Role{c.role}, Tenants: c.tenants, KeySHA256: hash, Owner: c.owner()})
	}
	keys, err := api.NewKeys(api.KeysConfig{Fixed: fixed, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s.start(cfg, keys)
	return s
}

// serveWith has these keys and nothing to ask about.
func serveWith(t testing.TB, keys *api.Keys) *server {
	t.Helper()
	s := &server{TB: t, book: &book{}, keys: map[string]string{}}
	s.start(api.Config{Connect: nowhere}, keys)
	return s
}

// nowhere knows no tenant.
func nowhere(string) (driver.Conn, error) { return nil, api.ErrNoUser }

func (s *server) start(cfg api.Config, keys *api.Keys) {
	s.Helper()
	cfg.Keys, cfg.Recorder, cfg.Logger = keys, s.book, quiet
	if cfg.Limits.PerSecond == 0 {
		cfg.Limits.PerSecond, cfg.Limits.Burst = 10_000, 10_000
	}
	a, err := api.New(cfg)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { a.Close() })
	h := httptest.NewTLSServer(a)
	s.Cleanup(h.Close)
	s.url, s.client = h.URL, h.Client()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
}

// answer is one that came.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// as asks with the key of a caller; an id without one is the bearer itself.
func (s *server) as(id, method, target string, body any) answer {
	s.Helper()
	return s.with(nil, id, method, target, body)
}

// with asks with more headers.
func (s *server) with(header http.Header, id, method, target string, body any) answer {
	s.Helper()
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.Fatal(err)
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+target, reader)
	if err != nil {
		s.Fatal(err)
	}
	maps.Copy(req.Header, header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer := s.keys[id]; bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	} else if id != "" {
		req.Header.Set("Authorization", "Bearer "+id)
	}
	return s.do(req)
}

func (s *server) do(req *http.Request) answer {
	s.Helper()
	res, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, b}
}

// get asks and wants an answer of this form.
func get[T any](s *server, id, target string) T {
	s.Helper()
	a := s.as(id, http.MethodGet, target, nil)
	var out T
	if a.status != http.StatusOK {
		s.Fatalf("%s: %d %s", target, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, &out); err != nil {
		s.Fatalf("%s: %v in %s", target, err, a.body)
	}
	return out
}

// ofTenant are the story's events of a tenant.
func ofTenant(tenant string) []*event.Event {
	return slices.DeleteFunc(story.Events(), func(e *event.Event) bool { return e.Tenant != tenant })
}
