package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

// What the service says is what the container engine hears.
func TestHealth(t *testing.T) {
	tel := &telemetry{checks: map[string]func(context.Context) error{}}
	server := httptest.NewServer(tel.handler(false))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	ask := func(args ...string) (string, error) {
		var out strings.Builder
		c := newRoot()
		c.SetOut(&out)
		c.SetArgs(append([]string{"health", "--telemetry-address", "127.0.0.1:" + port}, args...))
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	if out, err := ask("--alive"); err != nil || out != "ok\n" {
		t.Errorf("alive: %q, %v", out, err)
	}
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "starting") {
		t.Errorf("a service that starts: %v", err)
	}
	tel.readiness("kafka", func(context.Context) error { return nil })
	tel.readiness("clickhouse", func(context.Context) error { return errors.New("connection refused") })
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "clickhouse: connection refused; kafka: ok") {
		t.Errorf("without ClickHouse: %v", err)
	}
	tel.readiness("clickhouse", func(context.Context) error { return nil })
	if out, err := ask(); err != nil || !strings.Contains(out, "kafka: ok") {
		t.Errorf("ready: %q, %v", out, err)
	}
	server.Close()
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "no service answers at telemetry.address") {
		t.Errorf("no service: %v", err)
	}
}

// A container listens everywhere and asks itself.
func TestHealthAddress(t *testing.T) {
	server := httptest.NewServer((&telemetry{}).handler(false))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	for _, host := range []string{"0.0.0.0:", ":", "127.0.0.1:", "localhost:"} {
		if _, err := askHealth(t.Context(), host+port, "/healthz"); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := askHealth(t.Context(), "", "/healthz"); err == nil || !strings.Contains(err.Error(), "telemetry.address") {
		t.Errorf("no address: %v", err)
	}
}
