package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	registry "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
)

// selfTelemetry measures this process and serves the figures to Prometheus.
type selfTelemetry struct {
	provider *sdk.MeterProvider
	server   *http.Server
}

// startTelemetry serves GET /metrics on addr; empty serves nothing.
func startTelemetry(addr string) (*selfTelemetry, error) {
	figures := registry.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(figures))
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	t := &selfTelemetry{provider: sdk.NewMeterProvider(sdk.WithReader(exporter))}
	if addr == "" {
		return t, nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w; choose another with --telemetry", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(figures, promhttp.HandlerOpts{}))
	t.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go t.server.Serve(listener)
	return t, nil
}

func (t *selfTelemetry) meter(stage string) metric.Meter {
	return t.provider.Meter("github.com/custody-audit/custody/" + stage)
}

func (t *selfTelemetry) close(ctx context.Context) error {
	if t.server != nil {
		t.server.Close()
	}
	return t.provider.Shutdown(ctx)
}
