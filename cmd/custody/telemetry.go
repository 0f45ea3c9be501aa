package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync"
	"time"

	registry "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

// telemetry is what this process says of itself: metrics to Prometheus and,
// when an endpoint is configured, metrics and traces over OTLP; health and
// readiness beside them.
type telemetry struct {
	figures *registry.Registry
	meters  *sdkmetric.MeterProvider
	tracers *sdktrace.TracerProvider
	server  *http.Server

	mu     sync.Mutex
	checks map[string]func(context.Context) error // guarded by mu
}

// startTelemetry begins to measure. The verb becomes part of the service's name.
func startTelemetry(ctx context.Context, c *telemetryConfig, verb string) (*telemetry, error) {
	t := &telemetry{figures: registry.NewRegistry(), checks: map[string]func(context.Context) error{}}
	t.figures.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := t.providers(ctx, c, verb); err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	if c.Address == "" {
		return t, nil
	}
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("telemetry: %w; choose another with --telemetry-address", err), t.close())
	}
	t.server = &http.Server{Handler: t.handler(c.Profile), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: time.Minute}
	go t.server.Serve(listener)
	return t, nil
}

func (t *telemetry) providers(ctx context.Context, c *telemetryConfig, verb string) error {
	scraped, err := prometheus.New(prometheus.WithRegisterer(t.figures))
	if err != nil {
		return err
	}
	service := resource.NewSchemaless(semconv.ServiceName("custody-" + verb))
	meters := []sdkmetric.Option{sdkmetric.WithResource(service), sdkmetric.WithReader(scraped)}
	tracers := []sdktrace.TracerProviderOption{sdktrace.WithResource(service), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.SampleRatio)))}
	if c.OTLPEndpoint != "" {
		pushed, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(c.OTLPEndpoint+"/v1/metrics"))
		if err != nil {
			return err
		}
		spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.OTLPEndpoint+"/v1/traces"))
		if err != nil {
			return err
		}
		meters = append(meters, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(pushed)))
		tracers = append(tracers, sdktrace.WithBatcher(spans))
	}
	t.meters, t.tracers = sdkmetric.NewMeterProvider(meters...), sdktrace.NewTracerProvider(tracers...)
	return nil
}

const scope = "github.com/custody-audit/custody/"

func (t *telemetry) meter(stage string) metric.Meter  { return t.meters.Meter(scope + stage) }
func (t *telemetry) tracer(stage string) trace.Tracer { return t.tracers.Tracer(scope + stage) }

// http measures and traces the requests of those outside. Their own traces are
// linked to and not continued: they must not decide what we sample.
func (t *telemetry) http(server string, next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, server,
		otelhttp.WithMeterProvider(t.meters), otelhttp.WithTracerProvider(t.tracers), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }))
}

func (t *telemetry) grpc() grpc.ServerOption {
	return grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithMeterProvider(t.meters), otelgrpc.WithTracerProvider(t.tracers), otelgrpc.WithPropagators(propagation.TraceContext{}), otelgrpc.WithPublicEndpoint()))
}

// readiness adds something that must answer before this process is ready.
func (t *telemetry) readiness(name string, check func(context.Context) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checks[name] = check
}

func (t *telemetry) handler(profile bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.figures, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", t.ready)
	if profile {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// ready answers 200 when everything that was added answers, else 503; a line each.
func (t *telemetry) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	t.mu.Lock()
	checks := maps.Clone(t.checks)
	t.mu.Unlock()
	status, text := http.StatusOK, ""
	if len(checks) == 0 {
		status, text = http.StatusServiceUnavailable, "starting\n"
	}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		answer := "ok"
		if err := checks[name](ctx); err != nil {
			status, answer = http.StatusServiceUnavailable, err.Error()
		}
		text += name + ": " + answer + "\n"
	}
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

// close exports what is left.
func (t *telemetry) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if t.server != nil {
		t.server.Close()
	}
	return errors.Join(t.meters.Shutdown(ctx), t.tracers.Shutdown(ctx))
}
