package console_test

import (
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/evidence/api"
	"github.com/custody-audit/custody/evidence/console"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/table"
)

// BenchmarkPages times pages from the request to the last byte, as an administrator of
// all tenants: over the story, or over what "custody bench load" stored in the folder
// that CUSTODY_LOAD names.
func BenchmarkPages(b *testing.B) {
	var s *site
	if dir := os.Getenv("CUSTODY_LOAD"); dir != "" {
		s = load(b, dir)
	} else {
		s = open(b)
	}
	v := s.visit("admin")
	days := "3650" // the story lies far back
	if os.Getenv("CUSTODY_LOAD") != "" {
		days = "1"
	}
	who := slices.DeleteFunc(regexp.MustCompile(`"/identities/[^"]+`).FindAllString(v.page("/identities?days="+days), -1), func(to string) bool { return strings.HasPrefix(to, `"/identities/servers/`) })
	if len(who) == 0 {
		b.Fatal("nobody does anything")
	}
	for _, page := range []struct{ name, path string }{
		{"rows", "/api/v1/events?limit=50"}, {"histogram", "/api/v1/histogram"}, {"bars", "/search/bars"}, {"search", "/search"}, {"search-none", "/search?filter=tool:nothing"}, {"search-7d", "/search?filter=kind:tool_invocation+last:7d"}, {"search-rare", "/search?filter=outcome:denied+last:30d"},
		{"identities-1d", "/identities?days=1"}, {"identities-7d", "/identities?days=7"}, {"identities-30d", "/identities?days=30"}, {"identity", html.UnescapeString(who[0][1:])}, {"home", "/"},
	} {
		b.Run(page.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if a := v.get(page.path); a.status != http.StatusOK {
					b.Fatalf("%s: %d: %.80s", page.path, a.status, regexp.MustCompile(`(?s).*</h1>`).ReplaceAllString(a.body, ""))
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			for name, q := range map[string]float64{"p50-ms": 0.5, "p95-ms": 0.95} {
				b.ReportMetric(float64(took[int(q*float64(len(took)-1))].Microseconds())/1000, name)
			}
		})
	}
}

// load opens a console over a folder of "custody bench load", whose activity is counted
// and added up first where it was not: the pages of identities rest on that.
func load(b *testing.B, dir string) *site {
	b.Helper()
	binary, err := embedded.EnsureEngine(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	engine, err := embedded.StartEngine(b.Context(), embedded.EngineConfig{Dir: dir, Binary: binary, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { engine.Close() })
	as := func(user string) driver.Conn {
		conn, err := embeddedtest.Open(engine.Addr(), user, engine.Password(user), embeddedtest.Database)
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
	if _, err := table.Migrate(b.Context(), as(embedded.Admin)); err != nil {
		b.Fatal(err)
	}
	count(b, as(embedded.Detector))
	key, hash := api.NewKey()
	keys, err := api.NewKeys(api.KeysConfig{Fixed: []api.Key{{ID: "admin", Roles: []api.Role{api.Admin}, Tenants: []string{api.AllTenants}, KeySHA256: hash}}, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	s := &site{TB: b, keys: map[string]string{"admin": key}, book: &book{}, hold: &atomic.Bool{}}
	s.api, err = api.New(api.Config{
		Connect: func(string) (driver.Conn, error) { return as(embedded.Analyst), nil }, History: as(embedded.Handler), Recorder: s.book, Keys: keys, Links: true, Home: "/",
		Limits: api.Limits{PerSecond: 10_000, Burst: 10_000, PerCaller: 50, Together: 50, Timeout: time.Minute}, Logger: quiet,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.api.Close() })
	h, err := console.New(console.Config{API: s.api, Links: true, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// count lets the pass that keeps activity take in all that is stored, once, and add it up.
func count(b *testing.B, conn driver.Conn) {
	b.Helper()
	defer conn.Close()
	var counted, added bool
	if err := conn.QueryRow(b.Context(), "SELECT (SELECT count() > 0 FROM activity_states), (SELECT count() > 0 FROM activity_days)").Scan(&counted, &added); err != nil {
		b.Fatal(err)
	}
	var minutes []time.Time
	if err := conn.QueryRow(b.Context(), "SELECT arraySort(groupUniqArray(toStartOfMinute(stored_time))) FROM records").Scan(&minutes); err != nil {
		b.Fatal(err)
	}
	ctx, pass := context.WithoutCancel(b.Context()), enrich.Activity(conn)
	for _, at := range minutes {
		if counted {
			break
		}
		if err := pass.Take(ctx, at, at.Add(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	if !added { // all of it was stored on one day, which is not over
		over := minutes[len(minutes)-1].Truncate(24 * time.Hour).Add(24*time.Hour + enrich.Visible)
		if err := pass.Take(ctx, over, over); err != nil {
			b.Fatal(err)
		}
	}
}
