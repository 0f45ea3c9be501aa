package otlp

import (
	"context"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/custody-audit/custody/schemas/event"
)

var authorized = map[string]string{"Authorization": "Bearer " + goodKey}

var service = sdkresource.NewSchemaless(attribute.String("service.name", "github-mcp"), attribute.String("service.version", "1.4.0"))

// spanExporters are the real exporters, each as an application would configure it.
func spanExporters(t *testing.T, httpAddr, grpcAddr string, headers map[string]string) map[string]sdktrace.SpanExporter {
	t.Helper()
	make := func(c otlptrace.Client) sdktrace.SpanExporter {
		e, err := otlptrace.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Shutdown(context.Background()) })
		return e
	}
	return map[string]sdktrace.SpanExporter{
		"http": make(otlptracehttp.NewClient(otlptracehttp.WithEndpoint(httpAddr), otlptracehttp.WithInsecure(), otlptracehttp.WithHeaders(headers))),
		"http gzip": make(otlptracehttp.NewClient(otlptracehttp.WithEndpoint(httpAddr), otlptracehttp.WithInsecure(), otlptracehttp.WithHeaders(headers),
			otlptracehttp.WithCompression(otlptracehttp.GzipCompression))),
		"grpc": make(otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(grpcAddr), otlptracegrpc.WithInsecure(), otlptracegrpc.WithHeaders(headers))),
		"grpc gzip": make(otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(grpcAddr), otlptracegrpc.WithInsecure(), otlptracegrpc.WithHeaders(headers),
			otlptracegrpc.WithCompressor("gzip"))),
	}
}

// call makes one span of a tool call, inside one of the agent.
func call(exporter sdktrace.SpanExporter, attrs ...attribute.KeyValue) {
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithResource(service))
	defer p.Shutdown(context.Background())
	ctx, parent := p.Tracer("test").Start(context.Background(), "invoke_agent planner")
	_, span := p.Tracer("test").Start(ctx, "tools/call merge_pull_request", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		append([]attribute.KeyValue{
			attribute.String("mcp.method.name", "tools/call"), attribute.String("gen_ai.tool.name", "merge_pull_request"),
			attribute.String("enduser.id", "alice"), attribute.String("gen_ai.agent.id", "planner"),
		}, attrs...)...))
	span.End()
	parent.End()
}

func TestSpansOfTheSDK(t *testing.T) {
	m := &memory{}
	httpAddr, grpcAddr := serve(t, m)
	for name, exporter := range spanExporters(t, httpAddr, grpcAddr, authorized) {
		before, _ := m.taken()
		call(exporter)
		events, _ := m.taken()
		if len(events) != len(before)+1 {
			t.Errorf("%s: %d events, want one more than %d: the agent's own span is none", name, len(events), len(before))
			continue
		}
		e := events[len(events)-1]
		if e.Kind != event.ToolInvocation || e.Tool.Name != "merge_pull_request" || e.Server.ID != "github-mcp" || e.Server.Version != "1.4.0" ||
			e.Subject.Sub != "alice" || e.Actor.Sub != "planner" || e.Correlation.ParentSpanID == "" || e.Outcome != event.Success {
			t.Errorf("%s: got %s", name, e.Canonical())
		}
		if want := "span:" + e.Correlation.TraceID + "-" + e.Correlation.SpanID; e.Source.EventID != want {
			t.Errorf("%s: source.event_id %q, want %q", name, e.Source.EventID, want)
		}
	}
}

func TestSpanOfTheSDKIsSentAgainWhileUnavailable(t *testing.T) {
	for _, name := range []string{"http", "grpc"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits as long as it is told to
			m := &memory{away: 1}
			httpAddr, grpcAddr := serve(t, m)
			call(spanExporters(t, httpAddr, grpcAddr, authorized)[name])
			if events, calls := m.taken(); len(events) != 1 || calls != 2 {
				t.Errorf("%d events after %d calls, want 1 after 2", len(events), calls)
			}
		})
	}
}

// sdkErrors catches what the SDK reports; it has one global handler.
func sdkErrors(t *testing.T) func() string {
	var mu sync.Mutex
	var all []string
	before := otel.GetErrorHandler()
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, err.Error())
	}))
	t.Cleanup(func() { otel.SetErrorHandler(before) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		said := strings.Join(all, "\n")
		all = nil
		return said
	}
}

func TestSDKHearsOfPartialSuccess(t *testing.T) {
	said := sdkErrors(t)
	m := &memory{}
	httpAddr, grpcAddr := serve(t, m)
	for name, exporter := range spanExporters(t, httpAddr, grpcAddr, authorized) {
		call(exporter, attribute.String("gen_ai.tool.name", strings.Repeat("x", 3000)))
		if got := said(); !strings.Contains(got, "1 spans rejected") || !strings.Contains(got, "record 0: tool.name") {
			t.Errorf("%s: the SDK heard %q", name, got)
		}
	}
	if events, _ := m.taken(); len(events) != 0 {
		t.Errorf("%d events taken", len(events))
	}
}

func TestUnknownKeyIsRefused(t *testing.T) {
	said := sdkErrors(t)
	for key, want := range map[string][2]string{
		"":                      {"401", "Unauthenticated"},
		"Bearer wrong":          {"401", "Unauthenticated"},
		"Basic " + goodKey:      {"401", "Unauthenticated"},
		"Bearer key-of-opa":     {"403", "PermissionDenied"},
		"Bearer " + goodKey[1:]: {"401", "Unauthenticated"},
	} {
		m := &memory{}
		httpAddr, grpcAddr := serve(t, m)
		for name, exporter := range spanExporters(t, httpAddr, grpcAddr, map[string]string{"Authorization": key}) {
			call(exporter)
			if got := said(); !strings.Contains(got, want[0]) && !strings.Contains(got, want[1]) {
				t.Errorf("%s with %q: the SDK heard %q, want %s or %s", name, key, got, want[0], want[1])
			}
		}
		if _, calls := m.taken(); calls != 0 {
			t.Errorf("%q: the intake was called", key)
		}
	}
}

func TestLogsOfTheSDK(t *testing.T) {
	m := &memory{}
	httpAddr, grpcAddr := serve(t, m)
	h, err := otlploghttp.New(t.Context(), otlploghttp.WithEndpoint(httpAddr), otlploghttp.WithInsecure(), otlploghttp.WithHeaders(authorized),
		otlploghttp.WithCompression(otlploghttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	g, err := otlploggrpc.New(t.Context(), otlploggrpc.WithEndpoint(grpcAddr), otlploggrpc.WithInsecure(), otlploggrpc.WithHeaders(authorized))
	if err != nil {
		t.Fatal(err)
	}
	for name, exporter := range map[string]sdklog.Exporter{"http": h, "grpc": g} {
		before, _ := m.taken()
		emit(exporter)
		events, _ := m.taken()
		if len(events) != len(before)+1 {
			t.Errorf("%s: %d events, want one more than %d: the second record states no fact", name, len(events), len(before))
			continue
		}
		e := events[len(events)-1]
		if e.Kind != event.TokenExchange || strings.Join(e.Exchange.GrantedScope, " ") != "deploy:run" || e.Exchange.ExpiresIn != 120 ||
			e.Subject.Sub != "alice" || len(e.Chain) != 2 || e.Actor.Sub != "github-mcp" || e.Type != event.TypeTokenExchange {
			t.Errorf("%s: got %s", name, e.Canonical())
		}
	}
}

// emit logs an exchange in our own names, and something else.
func emit(exporter sdklog.Exporter) {
	p := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(exporter)), sdklog.WithResource(service))
	defer p.Shutdown(context.Background())
	var r log.Record
	r.SetEventName("custody.token_exchange")
	r.SetTimestamp(event.Time(1791190861250000).Go())
	r.AddAttributes(
		attribute.String("subject.sub", "alice"), attribute.String("jwt.act", `{"sub":"github-mcp","act":{"sub":"planner"}}`),
		attribute.String("exchange.subject_token_ref", event.TokenRef("token: a")), attribute.String("exchange.issued_token_ref", event.TokenRef("token: b")),
		attribute.StringSlice("exchange.granted_scope", []string{"deploy:run"}), attribute.Int("exchange.expires_in", 120),
	)
	p.Logger("test").Emit(context.Background(), r)
	var other log.Record
	other.SetBody(attribute.StringValue("cache refreshed"))
	p.Logger("test").Emit(context.Background(), other)
}
