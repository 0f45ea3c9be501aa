package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// post sends a request to the handler and returns the answer; headers come in pairs.
func post(t *testing.T, intake collector.Intake, path, contentType string, body []byte, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	New(Config{Intake: intake, Sources: sources()}).Register(mux)
	req := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+goodKey)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, req)
	return w
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestJSONWithPartialSuccess(t *testing.T) {
	m := &memory{}
	w := post(t, m, "/v1/traces", "application/json; charset=utf-8", read(t, "testdata/conventions.traces.json"))
	var answer coltrace.ExportTraceServiceResponse
	if err := text.decode(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s: %s: %v", w.Code, w.Header().Get("Content-Type"), w.Body, err)
	}
	if p := answer.GetPartialSuccess(); p.GetRejectedSpans() != 1 || !strings.HasPrefix(p.GetErrorMessage(), "record 4: correlation: a span needs") {
		t.Errorf("partial success %v", p)
	}
	if events, _ := m.taken(); len(events) != 3 || events[0].Correlation.TraceID != "b8dfd4c617a2ca928e81488532919187" {
		t.Errorf("%d events taken", len(events))
	}
}

// TestEncodings sends one request in every form and wants one event id each time.
func TestEncodings(t *testing.T) {
	inJSON := read(t, "testdata/toolhive.traces.json")
	request := new(coltrace.ExportTraceServiceRequest)
	if err := text.decode(inJSON, request); err != nil {
		t.Fatal(err)
	}
	inBinary, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		media, compression string
		body               []byte
	}{
		{"application/json", "", inJSON},
		{"application/json", "gzip", gzipped(t, inJSON)},
		{"application/x-protobuf", "", inBinary},
		{"application/x-protobuf", "gzip", gzipped(t, inBinary)},
		{"application/x-protobuf", "zstd", z.EncodeAll(inBinary, nil)},
	} {
		m := &memory{}
		w := post(t, m, "/v1/traces", c.media, c.body, "Content-Encoding", c.compression)
		events, _ := m.taken()
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != c.media || len(events) != 1 {
			t.Errorf("%s %s: %d %s, %d events", c.media, c.compression, w.Code, w.Body, len(events))
			continue
		}
		if got, want := events[0].Source.EventID, "span:b8dfd4c617a2ca928e81488532919187-6b65d68d90b48178"; got != want {
			t.Errorf("%s %s: source.event_id %q, want %q", c.media, c.compression, got, want)
		}
	}
}

func TestHTTPRefusals(t *testing.T) {
	call := read(t, "testdata/toolhive.traces.json")
	bomb := gzipped(t, make([]byte, collector.MaxDecodedBody+1))
	badID := bytes.Replace(call, []byte(`"6b65d68d90b48178"`), []byte(`"not an id"`), 1)
	for name, c := range map[string]struct {
		media   string
		body    []byte
		headers []string
		want    int
		code    codes.Code
	}{
		"no JSON":          {"application/json", []byte(`{"resourceSpans":[`), nil, 400, codes.InvalidArgument},
		"id that is no id": {"application/json", badID, nil, 400, codes.InvalidArgument},
		"no protobuf":      {"application/x-protobuf", []byte("\xff\xff"), nil, 400, codes.InvalidArgument},
		"no gzip":          {"application/json", call, []string{"Content-Encoding", "gzip"}, 400, codes.InvalidArgument},
		"gzip bomb":        {"application/json", bomb, []string{"Content-Encoding", "gzip"}, 413, codes.ResourceExhausted},
		"big body":         {"application/json", make([]byte, collector.MaxBody+1), nil, 413, codes.ResourceExhausted},
		"another encoding": {"application/json", call, []string{"Content-Encoding", "br"}, 415, codes.InvalidArgument},
		"another media":    {"text/plain", call, nil, 415, codes.InvalidArgument},
		"no key":           {"application/x-protobuf", nil, []string{"Authorization", ""}, 401, codes.Unauthenticated},
		"another's key":    {"application/json", call, []string{"Authorization", "Bearer key-of-opa"}, 403, codes.PermissionDenied},
	} {
		m := &memory{}
		w := post(t, m, "/v1/traces", c.media, c.body, c.headers...)
		st := new(rpcstatus.Status)
		enc, _ := encodingOf(c.media)
		if err := enc.decode(w.Body.Bytes(), st); err != nil {
			t.Errorf("%s: the body is no google.rpc.Status in the request's encoding: %v: %q", name, err, w.Body)
		}
		if w.Code != c.want || codes.Code(st.GetCode()) != c.code || st.GetMessage() == "" {
			t.Errorf("%s: %d %v, want %d %v", name, w.Code, st, c.want, c.code)
		}
		if _, calls := m.taken(); calls != 0 {
			t.Errorf("%s: the intake was called", name)
		}
	}
}

// untouched fails the test when a body is read.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("the body of an unknown source was read")
	return 0, io.EOF
}

func TestHTTPAuthenticatesBeforeReading(t *testing.T) {
	mux := http.NewServeMux()
	New(Config{Intake: &memory{}, Sources: sources()}).Register(mux)
	req := httptest.NewRequest(http.MethodPost, "/v1/logs", untouched{t})
	req.Header.Set("Content-Type", "application/x-protobuf")
	w := httptest.NewRecorder()
	if mux.ServeHTTP(w, req); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestHTTPUnavailable(t *testing.T) {
	w := post(t, &memory{away: 1}, "/v1/logs", "application/json", read(t, "testdata/agentgateway.logs.json"))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

// broken is an intake that fails in a way nobody foresaw.
type broken struct{}

func (broken) Accept(context.Context, *collector.Source, string, []*event.Event) ([]collector.Rejection, error) {
	return nil, errors.New("disk /var/lib/custody is on fire")
}

func TestUnforeseenErrorIsTriedAgainAndNotShown(t *testing.T) {
	w := post(t, broken{}, "/v1/logs", "application/json", read(t, "testdata/agentgateway.logs.json"))
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNothingForUsIsNoCall(t *testing.T) {
	m := &memory{away: 1}
	w := post(t, m, "/v1/traces", "application/json", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET /"}]}]}]}`))
	if _, calls := m.taken(); w.Code != http.StatusOK || calls != 0 {
		t.Errorf("%d, %d calls of an intake that is away", w.Code, calls)
	}
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestGRPCRefusals(t *testing.T) {
	m := &memory{away: 1}
	_, addr := serve(t, m)
	client := collogs.NewLogsServiceClient(dial(t, addr))
	export := func(key string, request *collogs.ExportLogsServiceRequest, opts ...grpc.CallOption) *status.Status {
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "authorization", key), time.Minute)
		defer cancel()
		_, err := client.Export(ctx, request, opts...)
		return status.Convert(err)
	}
	bomb := logCall(str("x", strings.Repeat("x", collector.MaxDecodedBody)))
	if st := export("Bearer "+goodKey, bomb, grpc.UseCompressor("gzip")); st.Code() != codes.ResourceExhausted {
		t.Errorf("gzip bomb: %v", st)
	}
	if st := export("Bearer wrong", bomb, grpc.UseCompressor("gzip")); st.Code() != codes.Unauthenticated {
		t.Errorf("a big message of an unknown source: %v, want it unread", st)
	}
	if st := export("Bearer key-of-opa", logCall()); st.Code() != codes.PermissionDenied {
		t.Errorf("another's key: %v", st)
	}
	if _, calls := m.taken(); calls != 0 {
		t.Errorf("the intake was called %d times", calls)
	}
	st := export("Bearer "+goodKey, logCall())
	if st.Code() != codes.Unavailable || len(st.Details()) != 1 {
		t.Fatalf("intake away: %v", st)
	}
	if info, ok := st.Details()[0].(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() != collector.RetryAfter*time.Second {
		t.Errorf("details %v", st.Details())
	}
	if st := export("Bearer "+goodKey, logCall()); st.Code() != codes.OK {
		t.Errorf("sent again: %v", st)
	}
}

// TestGRPCWithoutServerOptions checks that a server that forgot them is no open
// door, and that its interceptors are asked.
func TestGRPCWithoutServerOptions(t *testing.T) {
	m := &memory{}
	var intercepted []string
	g := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		intercepted = append(intercepted, info.FullMethod)
		return next(ctx, req)
	}))
	New(Config{Intake: m, Sources: sources()}).RegisterGRPC(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { g.Serve(l) })
	conn := dial(t, l.Addr().String())
	_, err = collogs.NewLogsServiceClient(conn).Export(t.Context(), logCall())
	_, good := collogs.NewLogsServiceClient(conn).Export(metadata.AppendToOutgoingContext(t.Context(), "authorization", "bearer "+goodKey), logCall())
	g.Stop()
	done.Wait()
	if events, _ := m.taken(); status.Code(err) != codes.Unauthenticated || good != nil || len(events) != 1 {
		t.Errorf("without a key: %v, with one: %v, %d events", err, good, len(events))
	}
	if want := collogs.LogsService_Export_FullMethodName; !slices.Equal(intercepted, []string{want, want}) {
		t.Errorf("intercepted %q", intercepted)
	}
}

// crowd is a request of n empty log records in its wire form.
func crowd(n int) []byte {
	records := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), nil), n)
	scope := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), records)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), scope)
}

func TestCrowdsOfEmptyRecordsAreNotUnpacked(t *testing.T) {
	full := maxMessages - 2 // a resource and a scope hold them
	for n, want := range map[int]error{full: nil, full + 1: errTooMany} {
		if err := unmarshal(crowd(n), new(collogs.ExportLogsServiceRequest)); err != want {
			t.Errorf("%d records: %v, want %v", n, err, want)
		}
	}
	m := &memory{}
	body := gzipped(t, crowd(full+1))
	if w := post(t, m, "/v1/logs", "application/x-protobuf", body, "Content-Encoding", "gzip"); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("HTTP: %d %s", w.Code, w.Body)
	}
	inJSON := gzipped(t, []byte(`{"resourceLogs":[`+strings.Repeat("{},", maxMessages)+`{}]}`))
	if w := post(t, m, "/v1/logs", "application/json", inJSON, "Content-Encoding", "gzip"); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("HTTP with JSON: %d %s", w.Code, w.Body)
	}
	_, addr := serve(t, m)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+goodKey)
	request := new(emptypb.Empty) // bears the bytes as they are
	request.ProtoReflect().SetUnknown(crowd(full + 1))
	err := dial(t, addr).Invoke(ctx, collogs.LogsService_Export_FullMethodName, request, new(emptypb.Empty))
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "smaller batches") {
		t.Errorf("gRPC: %v", err)
	}
}

func TestEveryLossIsCounted(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	r := New(Config{Intake: &memory{away: 1}, Sources: sources(), Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")})
	mux := http.NewServeMux()
	r.Register(mux)
	for range 2 {
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(read(t, "testdata/conventions.traces.json")))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+goodKey)
		mux.ServeHTTP(httptest.NewRecorder(), req)
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, metric := range rm.ScopeMetrics[0].Metrics {
		for _, p := range metric.Data.(metricdata.Sum[int64]).DataPoints {
			got[metric.Name] += p.Value
		}
	}
	want := map[string]int64{
		"custody.collector.otlp.records.ignored":  2, // the span is in both requests
		"custody.collector.otlp.records.rejected": 1,
		"custody.collector.otlp.requests.refused": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Clean changes nothing.
func (broken) Rejected(context.Context, *collector.Source, string, int) {}

func (broken) Clean(_ *collector.Source, text []byte) ([]byte, []string) { return text, nil }
