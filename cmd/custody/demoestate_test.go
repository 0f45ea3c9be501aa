package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/custody-audit/custody/schemas/event"
)

// The estate alone reports to a collector that is another installation's, with the
// keys that were made for it; Kafka is away, so its spool has the events.
func TestDemoEstate(t *testing.T) {
	dir := t.TempDir()
	c := defaults()
	c.DataDir, c.Collector.Sources, c.Collector.HTTP, c.Collector.GRPC = dir, filepath.Join(dir, "sources.yaml"), "127.0.0.1:0", "127.0.0.1:0"
	c.Kafka.Brokers = []string{"127.0.0.1:1"}
	run := func(args ...string) (string, error) {
		var out strings.Builder
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(&strings.Builder{})
		root.SetArgs(args)
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	keys, err := run("demo", "sources", "--collector-sources", c.Collector.Sources)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keys.json")
	if err := os.WriteFile(file, []byte(keys), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{config: c, logger: discard}
	sources, err := a.sources()
	if err != nil {
		t.Fatal(err)
	}
	tel, err := startTelemetry(t.Context(), &telemetryConfig{}, "collect")
	if err != nil {
		t.Fatal(err)
	}
	defer tel.close()
	s, err := startCollector(context.WithoutCancel(t.Context()), a, sources, tel)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	out, err := run("demo", "--collector", s.url, "--keys", file, "--once", "--output", "json")
	if err != nil {
		t.Fatal(err)
	}
	var did struct {
		Sent map[event.Kind]int `json:"sent"`
	}
	if err := json.Unmarshal([]byte(out), &did); err != nil || did.Sent[event.ToolInvocation] == 0 || did.Sent[event.PermissionDecision] == 0 || did.Sent[event.TokenExchange] == 0 {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := run("demo", "--collector", s.url); err == nil || !strings.Contains(err.Error(), "keys") {
		t.Errorf("without keys: %v", err)
	}
}
