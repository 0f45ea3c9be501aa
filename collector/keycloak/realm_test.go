package keycloak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "the-clients-secret"

// realm speaks as much of the admin REST API as a poller uses.
type realm struct {
	mu       sync.Mutex
	events   map[string][]string // by stream: JSON members after time, with the time in front
	times    map[string][]int64
	token    int // the one that is good; all before are not
	issued   int
	failures int // answers 500 before it works again
	noIDs    bool
	pages    int
	days     bool
	hidden   bool // no discovery
}

func newRealm(t *testing.T) (*realm, *httptest.Server) {
	r := &realm{events: map[string][]string{}, times: map[string][]int64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /realms/acme/protocol/openid-connect/token", r.issue)
	mux.HandleFunc("GET /admin/realms/acme/{stream}", r.list)
	mux.HandleFunc("GET /realms/acme/.well-known/openid-configuration", r.describe)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return r, server
}

// add stores an event; it may be older than those that are there.
func (r *realm) add(stream, id string, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	member := fmt.Sprintf(`"id":%q,`, id)
	if r.noIDs {
		member = ""
	}
	i, _ := slices.BinarySearch(r.times[stream], at)
	r.times[stream] = slices.Insert(r.times[stream], i, at)
	r.events[stream] = slices.Insert(r.events[stream], i, fmt.Sprintf(`{%s"time":%d,"type":"LOGIN","details":{"n":%q}}`, member, at, id))
}

func (r *realm) issue(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, given, _ := req.BasicAuth()
	if id != "custody" || given != secret {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"unauthorized_client","error_description":"wrong secret %s"}`, given)
		return
	}
	r.token++
	r.issued++
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":300}`, r.token)
}

// describe has the address that the realm's users see, which is another than ours.
func (r *realm) describe(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hidden {
		http.Error(w, "not here", http.StatusNotFound)
		return
	}
	fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"https://sso.acme.example/keys"}`, issuer)
}

const issuer = "https://sso.acme.example/realms/acme"

func (r *realm) list(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Header.Get("Authorization") != fmt.Sprintf("Bearer token-%d", r.token) {
		http.Error(w, "expired "+req.Header.Get("Authorization"), http.StatusUnauthorized)
		return
	}
	if r.failures > 0 {
		r.failures--
		http.Error(w, "trouble "+req.Header.Get("Authorization"), http.StatusInternalServerError)
		return
	}
	r.pages++
	query := func(name string) int64 { n, _ := strconv.ParseInt(req.FormValue(name), 10, 64); return n }
	from, to := query("dateFrom"), query("dateTo")
	if r.days {
		day, err := time.Parse(time.DateOnly, req.FormValue("dateFrom"))
		end, err2 := time.Parse(time.DateOnly, req.FormValue("dateTo"))
		if err != nil || err2 != nil {
			http.Error(w, "Invalid value for 'dateFrom'", http.StatusBadRequest)
			return
		}
		from, to = day.UnixMilli(), end.AddDate(0, 0, 1).UnixMilli()-1
	}
	stream := req.PathValue("stream")
	var found []string
	for i, at := range slices.Backward(r.times[stream]) {
		if at >= from && at <= to {
			found = append(found, r.events[stream][i])
		}
	}
	first, most := int(query("first")), int(query("max"))
	found = found[min(first, len(found)):]
	fmt.Fprintf(w, "[%s]", strings.Join(found[:min(most, len(found))], ",\n "))
}

// collected is what was delivered.
type collected struct {
	mu      sync.Mutex
	ids     []string
	issuers []string
	fails   int
}

func (c *collected) deliver(_ context.Context, records [][]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails > 0 {
		c.fails--
		return errors.New("not durable now")
	}
	for _, r := range records {
		var head struct{ ID, RealmIssuer string }
		if err := json.Unmarshal(r, &head); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		c.ids = append(c.ids, head.ID)
		c.issuers = append(c.issuers, head.RealmIssuer)
	}
	return nil
}

func (c *collected) sorted() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(slices.Values(c.ids))
}

const start = int64(1793610000000)

type fixture struct {
	*realm
	*collected
	now int64
	cfg PollConfig
	log bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	r, server := newRealm(t)
	f := &fixture{realm: r, collected: &collected{}, now: start}
	f.cfg = PollConfig{
		BaseURL: server.URL, Realm: "acme", ClientID: "custody", Secret: func() (string, error) { return secret, nil },
		Checkpoint: filepath.Join(t.TempDir(), "checkpoint"), Deliver: f.deliver, PageSize: 3, Since: time.UnixMilli(start - 60_000),
		Overlap: time.Minute, Window: 10 * time.Minute, Every: time.Millisecond, Now: func() time.Time { return time.UnixMilli(f.now) },
		Logger: slog.New(slog.NewTextHandler(&f.log, nil)),
	}
	return f
}

func (f *fixture) poller(t *testing.T) *Poller {
	t.Helper()
	p, err := NewPoller(f.cfg)
	if err == nil {
		err = p.resume()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func look(t *testing.T, p *Poller) {
	t.Helper()
	if err := p.look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) want(t *testing.T, ids ...string) {
	t.Helper()
	if got := f.sorted(); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
		t.Errorf("delivered %v, want %v", got, ids)
	}
}
