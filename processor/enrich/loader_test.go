package enrich_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// lines is what was logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// run starts a loader that looks all the time, until the test ends.
func run(t *testing.T, cfg enrich.LoaderConfig) *enrich.Loader {
	t.Helper()
	cfg.Interval = 10 * time.Millisecond
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := enrich.NewLoader(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 30 s", what)
		case <-tick.C:
		}
	}
}

// write replaces a file as a whole.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func inForce(t *testing.T, conn driver.Conn, tenant string, at time.Time) string {
	t.Helper()
	list, err := enrich.InForce(t.Context(), conn, tenant, at)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		return "none"
	}
	return list[0].Version
}

// A changed file is in force soon and its version is in the tables; one with
// mistakes changes nothing, is logged once and counted.
func TestReload(t *testing.T) {
	t.Parallel()
	conn := embeddedtest.StartClickHouse(t).Conn(embedded.Writer)
	dir := folder(t, map[string]string{"people.yaml": acmeYAML, "servers.yaml": githubYAML})
	log, reader := &lines{}, metric.NewManualReader()
	l := run(t, enrich.LoaderConfig{
		Path: dir, ClickHouse: conn, Logger: slog.New(slog.NewTextHandler(log, nil)), Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("enrich"),
	})
	first := l.Snapshot().Version("acme")
	if first != acme().Version() {
		t.Fatalf("version %q", first)
	}
	eventually(t, "the first version is stored", func() bool { return inForce(t, conn, "acme", time.Now()) == first })
	before := time.Now()

	people := filepath.Join(dir, "people.yaml")
	write(t, people, strings.Replace(acmeYAML, "sub: alice", "sub: [alice]", 1))
	eventually(t, "the mistake is logged", func() bool { return log.count("people.yaml:5: tenants.acme.principals[0].sub: want a text") > 0 })
	eventually(t, "it is counted", func() bool { return sum(t, reader, "custody.enrich.registry.errors") > 3 })
	if n := log.count("want a text"); n != 1 || l.Snapshot().Version("acme") != first {
		t.Errorf("logged %d times, version %q", n, l.Snapshot().Version("acme"))
	}

	write(t, people, strings.Replace(acmeYAML, "owner: alice@acme.example", "owner: bob@acme.example", 1))
	eventually(t, "the change is in force", func() bool { return l.Snapshot().Version("acme") != first })
	second := l.Snapshot().Version("acme")
	eventually(t, "the second version is stored", func() bool { return inForce(t, conn, "acme", time.Now()) == second })
	if got := inForce(t, conn, "acme", before); got != first {
		t.Errorf("before the change %q was in force, want %q", got, first)
	}

	write(t, people, "tenants: {globex: {principals: [{sub: eve}]}}")
	write(t, filepath.Join(dir, "servers.yaml"), "")
	eventually(t, "the tenant that left has no registry", func() bool { return inForce(t, conn, "acme", time.Now()) == "" })
	if r, err := enrich.Stored(t.Context(), conn, "acme", first); err != nil {
		t.Error(err)
	} else if diff := cmp.Diff(acme(), r, cmpopts.EquateEmpty(), anyOrder()); diff != "" {
		t.Errorf("the first version as stored (-want +got):\n%s", diff)
	}
}

func anyOrder() cmp.Option {
	return cmp.Options{
		cmpopts.SortSlices(func(a, b enrich.Principal) bool { return a.Sub < b.Sub }),
		cmpopts.SortSlices(func(a, b enrich.Tool) bool { return a.Name < b.Name }),
	}
}

// sum is the value of a counter.
func sum(t *testing.T, reader metric.Reader, name string) (n int64) {
	t.Helper()
	var m metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	for _, scope := range m.ScopeMetrics {
		for _, x := range scope.Metrics {
			if s, ok := x.Data.(metricdata.Sum[int64]); ok && x.Name == name {
				for _, p := range s.DataPoints {
					n += p.Value
				}
			}
		}
	}
	return n
}

// Without a path the tables are the registry, and what is imported is in force
// soon, at every processor.
func TestTables(t *testing.T) {
	t.Parallel()
	clickhouse := embeddedtest.StartClickHouse(t, "acme", "globex")
	conn := clickhouse.Conn(embedded.Registrar)
	a := run(t, enrich.LoaderConfig{ClickHouse: clickhouse.Conn(embedded.Writer)})
	b := run(t, enrich.LoaderConfig{ClickHouse: clickhouse.Conn(embedded.Writer)})
	if len(a.Snapshot().Tenants()) != 0 {
		t.Fatal("there is a registry already")
	}
	begin := time.Now()
	store := func(tenant string, r *enrich.Registry) bool {
		stored, err := enrich.Store(t.Context(), conn, tenant, r, enrich.FromImport, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	if !store("acme", acme()) || store("acme", acme()) || store("globex", nil) {
		t.Error("a version is stored when it is new, and not again")
	}
	other := acme()
	other.Servers[0].Sensitivity = "restricted"
	store("globex", other)
	eventually(t, "both have them", func() bool {
		return a.Snapshot().Version("acme") == acme().Version() && b.Snapshot().Version("globex") == other.Version()
	})
	var f table.Facts
	b.Snapshot().Facts(&event.Event{Tenant: "acme", Time: at("2026-10-05T09:45:00Z"), Actor: event.Party{Iss: acmeIssuer, Sub: "planner"}}, &f)
	if f.ActorLifecycle != "suspended" || f.ActorTeam != "agents" {
		t.Errorf("facts from tables: %+v", f)
	}
	store("acme", nil)
	eventually(t, "it is gone", func() bool { return a.Snapshot().Registry("acme") == nil && b.Snapshot().Registry("acme") == nil })
	store("acme", acme())
	eventually(t, "it is back", func() bool { return a.Snapshot().Version("acme") == acme().Version() })

	list, err := enrich.Versions(t.Context(), conn, "acme")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(list)
	if len(list) != 3 || list[0].Version != acme().Version() || list[1].Version != "" || list[2].Principals != 3 || list[2].Since.Before(begin.Truncate(time.Microsecond)) {
		t.Errorf("versions %s", text)
	}
	if list, err = enrich.Versions(t.Context(), clickhouse.Conn("custody_auditor_globex"), ""); err != nil || len(list) != 1 || list[0].Tenant != "globex" {
		t.Errorf("an auditor sees %v, %v", list, err)
	}
	if err := clickhouse.Conn(embedded.Admin).Exec(t.Context(), "ALTER TABLE registry_principals UPDATE owner = 'mallory' WHERE tenant = 'acme' SETTINGS mutations_sync = 1"); err != nil {
		t.Fatal(err)
	}
	if _, err := enrich.Stored(t.Context(), conn, "acme", acme().Version()); err == nil || !strings.Contains(err.Error(), "its rows were changed") {
		t.Errorf("changed rows: error %v", err)
	}
}

// Whoever starts hears of mistakes, and of tables that are not there.
func TestLoaderStart(t *testing.T) {
	t.Parallel()
	conn, err := embeddedtest.Open("127.0.0.1:1", "u", "p", "custody")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for path, want := range map[string]string{
		folder(t, map[string]string{"r.yaml": "tenants: 1"}): "r.yaml:1: tenants: want a mapping",
		"": "127.0.0.1:1",
	} {
		if _, err := enrich.NewLoader(t.Context(), enrich.LoaderConfig{Path: path, ClickHouse: conn, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
