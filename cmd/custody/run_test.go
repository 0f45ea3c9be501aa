package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/deploy/embedded"
)

// An installation is killed again and again while the estate works, and comes
// back on its data: what was sent is stored, each event once.
func TestRunIsKilledWhileEventsCome(t *testing.T) {
	sources, keys := estateSources(t)
	dataDir, address := t.TempDir(), freeAddress(t)
	args := []string{"run", "--data-dir", dataDir, "--collector-sources", sources, "--collector-http", address,
		"--collector-grpc", "127.0.0.1:0", "--telemetry-address", "", "--processor-session-timeout", "6s"}
	run := start(t, "takes events at", args...)

	const kills, every = 4, 120
	var sent atomic.Int64
	estate, err := demo.New(demo.Config{
		CollectorURL: "http://" + address, Keys: keys, Seed: 7, Rate: 60, Duration: 8 * time.Second, DrainTimeout: time.Minute,
		Logger: slog.New(slog.DiscardHandler), Progress: func(p demo.Progress) { sent.Store(int64(p.Sent)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var did *demo.Summary
	ended := make(chan error, 1)
	go func() {
		var err error
		did, err = estate.Run(t.Context())
		ended <- err
	}()
	for i := range kills {
		eventually(t, time.Minute, "events are sent", func(context.Context) bool { return sent.Load() > int64(i+1)*every })
		if err := run.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		run.Wait()
		run = start(t, "takes events at", args...)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want := did.Total()
	states := countStates(t, dataDir, want)
	t.Logf("%d sent, %v stored, %d kills", want, states, kills)
	if int(states["stored"]) != want || states["conflict"]+states["malformed"] != 0 {
		t.Errorf("stored %v, want %d", states, want)
	}
	sealedWhole(t, dataDir, want)
	for kind, n := range did.Sent {
		var page struct {
			Events []json.RawMessage `json:"events"`
		}
		out := ask(t, "search", "--data-dir", dataDir, "--output", "json", "--limit", "10000", "kind:"+string(kind))
		if err := json.Unmarshal([]byte(out), &page); err != nil || len(page.Events) != n {
			t.Errorf("search finds %d events of kind %s, want %d (%v)", len(page.Events), kind, n, err)
		}
	}
}

// countStates waits until as many records are stored, and for a moment more for
// those that should not come.
func countStates(t *testing.T, dataDir string, want int) map[string]uint64 {
	t.Helper()
	c := defaults()
	c.DataDir = dataDir
	a := &app{config: c}
	r, done, err := a.reader("")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	var states map[string]uint64
	eventually(t, time.Minute, "everything is stored", func(ctx context.Context) bool {
		if states, _, err = r.Count(ctx); err != nil {
			t.Fatal(err)
		}
		return int(states["stored"]) >= want
	})
	return states
}

// The services run apart, on topics and tables that "schema migrate" made, and
// say how they are.
func TestServicesApart(t *testing.T) {
	servers := startServers(t)
	admin, writer := servers.flags(t, embedded.Admin), servers.flags(t, embedded.Writer)
	ask(t, append([]string{"schema", "migrate"}, admin...)...)
	if out := ask(t, append([]string{"schema", "migrate", "--output", "json"}, admin...)...); !strings.Contains(out, `"applied":true`) {
		t.Errorf("migrate again: %s", out)
	}
	sources, keys := estateSources(t)
	address, health := freeAddress(t), freeAddress(t)
	processHealth := freeAddress(t)
	spans := traceSink(t)
	start(t, "takes events at", "collect", "--kafka-brokers", servers.broker.Addr(), "--collector-sources", sources, "--collector-http", address,
		"--collector-grpc", "127.0.0.1:0", "--collector-spool-dir", t.TempDir(), "--telemetry-address", health, "--telemetry-otlp-endpoint", spans.url)
	start(t, "consumes as group", append([]string{"process", "--processor-session-timeout", "6s", "--telemetry-address", processHealth}, writer...)...)

	sent := 0
	work := func(seed uint64) {
		t.Helper()
		estate, err := demo.New(demo.Config{CollectorURL: "http://" + address, Keys: keys, Seed: seed, Once: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		did, err := estate.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent += did.Total()
	}
	work(3)
	analyst := servers.flags(t, embedded.Analyst)
	search := append([]string{"search", "--output", "json", "--limit", "10000"}, analyst[2:]...) // without Kafka
	stored := func(context.Context) bool { return strings.Count(ask(t, search...), `"schema_version"`) == sent }
	eventually(t, time.Minute, "everything is stored", stored)
	if text := get(t, "http://"+health+"/readyz", 200); text != "kafka_or_spool: ok\n" {
		t.Errorf("ready: %q", text)
	}
	if text := get(t, "http://"+health+"/metrics", 200); !strings.Contains(text, "custody_collector_events_accepted_total") || !strings.Contains(text, "http_server_request_duration_seconds") {
		t.Errorf("metrics of the collector miss what they are for:\n%.2000s", text)
	}
	eventually(t, time.Minute, "the processor counts what it stored", func(context.Context) bool {
		return strings.Contains(get(t, "http://"+processHealth+"/metrics", 200), "custody_processor_records_total")
	})
	eventually(t, time.Minute, "traces are exported", func(context.Context) bool { return spans.has("collector.accept") })
	if err := servers.broker.Close(); err != nil {
		t.Fatal(err)
	}
	get(t, "http://"+health+"/healthz", 200)
	get(t, "http://"+health+"/readyz", 200) // there is room in the spool
	work(4)
	servers.startBroker(t)
	eventually(t, time.Minute, "what was sent while Kafka was away is stored", stored)
}

// testServers are a broker and an engine without a schema.
type testServers struct {
	engine *embedded.Engine
	broker *embedded.Broker

	brokerConfig embedded.BrokerConfig
}

func startServers(t *testing.T) *testServers {
	t.Helper()
	binary, err := embedded.EnsureEngine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &testServers{}
	s.engine, err = embedded.StartEngine(t.Context(), embedded.EngineConfig{Dir: t.TempDir(), Binary: binary, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.engine.Close() })
	s.brokerConfig = embedded.BrokerConfig{Dir: t.TempDir()}
	s.startBroker(t)
	if _, err := fmt.Sscanf(s.broker.Addr(), "127.0.0.1:%d", &s.brokerConfig.Port); err != nil {
		t.Fatal(err)
	}
	return s
}

// startBroker starts it, and again after a Close on the same address and data.
func (s *testServers) startBroker(t *testing.T) {
	t.Helper()
	broker, err := embedded.StartBroker(s.brokerConfig)
	if err != nil {
		t.Fatal(err)
	}
	s.broker = broker
	t.Cleanup(func() { broker.Close() })
}

// flags point a verb at the servers, Kafka first.
func (s *testServers) flags(t *testing.T, user string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(s.engine.Password(user)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--kafka-brokers", s.broker.Addr(), "--clickhouse-addresses", s.engine.Addr(), "--clickhouse-user", user, "--clickhouse-password-file", file}
}

func get(t *testing.T, url string, status int) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		t.Errorf("GET %s: %d %s (%v), want %d", url, res.StatusCode, text, err, status)
	}
	return string(text)
}
