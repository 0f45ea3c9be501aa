package otlp

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/custody-audit/custody/schemas/event"
)

var update = flag.Bool("update", false, "write testdata/*.events anew")

// TestParse reads OTLP/JSON requests as each source sends them and compares
// the events with those in the file beside it.
func TestParse(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no requests in testdata", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := render(t, parseJSON(t, file, body))
			path := strings.TrimSuffix(file, ".json") + ".events"
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-%s +got:\n%s", path, diff)
			}
		})
	}
}

func parseJSON(t *testing.T, file string, body []byte) *Batch {
	t.Helper()
	s := traces
	if strings.Contains(file, ".logs.") {
		s = logs
	}
	request := s.request()
	if err := text.decode(body, request); err != nil {
		t.Fatal(err)
	}
	return s.parse(request)
}

// render writes a batch as text, each event valid once it is stamped.
func render(t *testing.T, b *Batch) []byte {
	t.Helper()
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d records, %d ignored\n", b.Records, b.Ignored)
	for i, item := range b.Items {
		if len(item.Events) == 0 {
			fmt.Fprintf(&out, "record %d refused: %v\n", b.Index[i], item.Problems)
			continue
		}
		fmt.Fprintf(&out, "record %d: %s\n", b.Index[i], item.Events[0].Canonical())
		stamp(item.Events[0], gateway, Type)
		if err := item.Events[0].Validate(); err != nil {
			t.Errorf("record %d: %v", b.Index[i], err)
		}
	}
	return out.Bytes()
}

func str(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// logCall is the log record of a tool call with further attributes.
func logCall(attrs ...*common.KeyValue) *collogs.ExportLogsServiceRequest {
	return oneLog(&logspb.LogRecord{TimeUnixNano: 1791190861250000000, Attributes: append([]*common.KeyValue{
		str("mcp.method.name", "tools/call"), str("gen_ai.tool.name", "deploy_service"), str("mcp.target", "deploy-mcp"),
	}, attrs...)})
}

func oneLog(l *logspb.LogRecord) *collogs.ExportLogsServiceRequest {
	return &collogs.ExportLogsServiceRequest{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{l}}}}}}
}

// only returns the one event of a request.
func only(t *testing.T, b *Batch) *event.Event {
	t.Helper()
	if len(b.Items) != 1 || len(b.Items[0].Events) != 1 {
		t.Fatalf("got %+v, want one event", b)
	}
	return b.Items[0].Events[0]
}

func TestAttributesAreBounded(t *testing.T) {
	var attrs []*common.KeyValue
	for i := range 100 {
		attrs = append(attrs, str(fmt.Sprintf("label.%03d", i), "x"))
	}
	attrs = append(attrs, str("aaa", strings.Repeat("x", event.MaxString+1)), str(strings.Repeat("k", maxKey+1), "x"))
	e := only(t, ParseLogs(logCall(attrs...)))
	if len(e.Attributes) != event.MaxAttributes || e.Attributes["label.000"] != "x" || e.Attributes["aaa"] != "" {
		t.Errorf("%d attributes kept: %v", len(e.Attributes), e.Attributes)
	}
	if got := strings.Join(e.Warnings, "\n"); !strings.Contains(got, "38 attributes left out") {
		t.Errorf("warnings: %q", got)
	}
	if stamp(e, gateway, Type); e.Validate() != nil {
		t.Error(e.Validate())
	}
}

// TestArgumentsAreHashedNotKept also checks that order, space and the form of
// numbers make no difference, and that the hash is what anyone gets by RFC 8785.
func TestArgumentsAreHashedNotKept(t *testing.T) {
	const secret = "very-secret-value"
	var hashes []string
	for _, arguments := range []string{`{"a":1,"b":"` + secret + `"}`, `{ "b": "` + secret + `", "a": 1.0 }`} {
		e := only(t, ParseLogs(logCall(str("gen_ai.tool.call.arguments", arguments), str("gen_ai.tool.call.result", secret),
			str("mcp.request.params", secret), str("http.request.header.x-api-key", secret))))
		if strings.Contains(string(e.Canonical()), secret) {
			t.Errorf("the event holds the secret: %s", e.Canonical())
		}
		if diff := cmp.Diff([]string{"a", "b"}, e.Tool.ArgumentNames); diff != "" {
			t.Error(diff)
		}
		hashes = append(hashes, e.Tool.ArgumentsHash)
	}
	if want := event.TokenRef(`{"a":1,"b":"` + secret + `"}`); hashes[0] != want || hashes[1] != want {
		t.Errorf("hashes %q, want %q twice", hashes, want)
	}
}

func TestLogIDIsTheSameWhenExportedAgain(t *testing.T) {
	id := func(change func(*logspb.LogRecord)) string {
		request := logCall(str("x", "1"))
		change(request.ResourceLogs[0].ScopeLogs[0].LogRecords[0])
		return only(t, ParseLogs(request)).Source.EventID
	}
	first := id(func(*logspb.LogRecord) {})
	if again := id(func(l *logspb.LogRecord) { l.ObservedTimeUnixNano = 5; l.DroppedAttributesCount = 1 }); again != first {
		t.Errorf("exported again, %q became %q", first, again)
	}
	for name, change := range map[string]func(*logspb.LogRecord){
		"time":      func(l *logspb.LogRecord) { l.TimeUnixNano++ },
		"span":      func(l *logspb.LogRecord) { l.SpanId = []byte("12345678") },
		"body":      func(l *logspb.LogRecord) { l.Body = str("", "x").Value },
		"attribute": func(l *logspb.LogRecord) { l.Attributes[3] = str("x", "2") },
	} {
		if id(change) == first {
			t.Errorf("another %s, and the id is the same", name)
		}
	}
}

func TestTokenReferences(t *testing.T) {
	want := event.TokenRef("test")
	for _, given := range []string{
		"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
		"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", want,
		"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	} {
		if got := only(t, ParseLogs(logCall(str("token.sha256", given)))).Token.Ref; got != want {
			t.Errorf("%q became %q", given, got)
		}
	}
	const token = "opaque-token-by-mistake"
	e := only(t, ParseLogs(logCall(str("token.sha256", token))))
	if strings.Contains(string(e.Canonical()), token) || !strings.Contains(strings.Join(e.Warnings, ""), "token.sha256") {
		t.Errorf("a token in the place of its hash: %s", e.Canonical())
	}
}

func TestChainFromAct(t *testing.T) {
	deep := strings.Repeat(`{"sub":"a","act":`, event.MaxChain+3) + "null" + strings.Repeat("}", event.MaxChain+3)
	for _, c := range []struct {
		act, malformed string
		links          int
		truncated      bool
	}{
		{`{"sub":"a","act":{"iss":"i","sub":"b"}}`, "", 2, false},
		{`{"sub":"a","act":"b"}`, "act at depth 2 is no object", 1, false},
		{`{"sub":"a","act":{}}`, "act at depth 2 names nobody", 1, false},
		{`not json`, "act is not JSON", 0, false},
		{deep, "", event.MaxChain, true},
	} {
		e := only(t, ParseLogs(logCall(str("jwt.act", c.act))))
		if len(e.Chain) != c.links || e.ChainMalformed != c.malformed || e.ChainTruncated != c.truncated {
			t.Errorf("%.40s: %d links, malformed %q, truncated %t", c.act, len(e.Chain), e.ChainMalformed, e.ChainTruncated)
		}
	}
}

// TestExplicitFactsWin checks that what a record says in our names stands, and
// that a name given twice reads the same every time.
func TestExplicitFactsWin(t *testing.T) {
	request := logCall(str("custody.outcome", "denied"), str("custody.tool.name", "other"), str("custody.tool.annotations.a", "x"), str("custody.tool.annotations", `{"readOnlyHint":true}`),
		str("custody.server.id", "mine"))
	first := only(t, ParseLogs(request))
	if first.Outcome != event.Denied || first.Tool.Name != "other" || first.Server.ID != "mine" || !first.Tool.Annotations["readOnlyHint"] {
		t.Errorf("got %s", first.Canonical())
	}
	for range 20 {
		if diff := cmp.Diff(string(first.Canonical()), string(only(t, ParseLogs(request)).Canonical())); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestTimesThatNoClockShows(t *testing.T) {
	for _, nanos := range []uint64{0, 1, 1<<64 - 1} {
		request := logCall()
		request.ResourceLogs[0].ScopeLogs[0].LogRecords[0].TimeUnixNano = nanos
		e := only(t, ParseLogs(request))
		stamp(e, gateway, Type)
		if err := e.Validate(); nanos < 1000 && err == nil {
			t.Errorf("%d ns: an event without a time is valid", nanos)
		}
	}
}

func BenchmarkParseTraces(b *testing.B) {
	tool := []*common.KeyValue{str("mcp.method.name", "tools/call"), str("gen_ai.tool.name", "deploy_service"), str("enduser.id", "alice"),
		str("gen_ai.tool.call.arguments", `{"service":"shop","version":"7.3.0"}`), str("client.address", "10.0.0.1"), str("deployment", "blue")}
	for name, attrs := range map[string][]*common.KeyValue{"call": tool, "ignored": tool[2:]} {
		spans := make([]*tracepb.Span, 512)
		for i := range spans {
			spans[i] = &tracepb.Span{TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Name: "tools/call deploy_service",
				StartTimeUnixNano: 1791190861250000000, EndTimeUnixNano: 1791190861350000000, Attributes: attrs}
		}
		request := &coltrace.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: spans}}}}}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				ParseTraces(request)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(spans)), "ns/span")
		})
	}
}
