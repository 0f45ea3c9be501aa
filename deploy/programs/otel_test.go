//go:build programs

package programs

import (
	"os"
	"strings"
	"testing"

	"github.com/custody-audit/custody/schemas/event"
)

// OpenTelemetry's SDK for Node.js exports an agent's spans, configured by its
// environment alone, in each of the protocols that it speaks.
func testOpenTelemetry(t *testing.T, i *installation) {
	key, err := os.ReadFile(i.key("otel"))
	if err != nil {
		t.Fatal(err)
	}
	for protocol, endpoint := range map[string]string{"grpc": "http://" + i.grpc, "http/protobuf": i.url, "http/json": i.url} {
		app := i.node("testdata/spans.cjs")
		app.Env = append(app.Env, "OTEL_SERVICE_NAME=planner", "OTEL_TRACES_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none",
			"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
			"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20"+strings.TrimSpace(string(key)))
		out, err := app.CombinedOutput()
		trace := strings.TrimSpace(string(out))
		if err != nil || len(trace) != 32 {
			t.Errorf("%s: the application says %q, %v", protocol, out, err)
			continue
		}
		events, text := i.find(t, 2, "source:otel trace:"+trace)
		for _, e := range events {
			want := map[string]event.Outcome{"merge": event.Success, "wipe": event.Failure}[e.Tool.Name]
			if e.Kind != event.ToolInvocation || e.Outcome != want || e.Subject.Sub != "alice" || e.Actor.Sub != "planner" || e.Correlation.JSONRPCID != "7" ||
				e.Correlation.SessionID != "s-1" || e.Correlation.SpanID == "" || e.Correlation.ParentSpanID == "" || e.Tenant != tenant {
				t.Errorf("%s: event %s", protocol, e.Canonical())
			}
		}
		if strings.Contains(text, "battery staple") {
			t.Errorf("%s: an argument is in an event:\n%s", protocol, text)
		}
	}
}
