package dashboards_test

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	promql "github.com/grafana/grafana-foundation-sdk/go/prometheus"
	registry "github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/spool"
	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/processor"
	"github.com/custody-audit/custody/processor/retain"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/dial"
	"github.com/custody-audit/custody/schemas/event"
)

// eager makes every instrument show at once: an exporter has no line for a
// counter that never counted.
type eager struct{ metric.Meter }

func (e eager) Int64Counter(name string, o ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	c, err := e.Meter.Int64Counter(name, o...)
	if err == nil {
		c.Add(context.Background(), 1)
	}
	return c, err
}

func (e eager) Int64Gauge(name string, o ...metric.Int64GaugeOption) (metric.Int64Gauge, error) {
	g, err := e.Meter.Int64Gauge(name, o...)
	if err == nil {
		g.Record(context.Background(), 1)
	}
	return g, err
}

func (e eager) Float64Histogram(name string, o ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	h, err := e.Meter.Float64Histogram(name, o...)
	if err == nil {
		h.Record(context.Background(), 1)
	}
	return h, err
}

// exported returns the names under which Prometheus gets the instruments of the
// real collector and processor.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	figures := registry.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(figures))
	if err != nil {
		t.Fatal(err)
	}
	meter := eager{sdk.NewMeterProvider(sdk.WithReader(exporter)).Meter("test")}
	logger := slog.New(slog.DiscardHandler)
	publisher, err := collector.NewKafkaPublisher(collector.KafkaConfig{Kafka: dial.Kafka{Brokers: []string{"127.0.0.1:1"}}, Topic: "events", Logger: logger, Meter: meter})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := spool.Open(spool.Config{Dir: t.TempDir(), Next: publisher, Logger: logger, Meter: meter})
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := collector.NewGateway(collector.GatewayConfig{Publisher: kept, Redactor: redactor, Logger: logger, Meter: meter}); err != nil {
		t.Fatal(err)
	}
	if _, err := processor.New(processor.Config{Kafka: dial.Kafka{Brokers: []string{"127.0.0.1:1"}}, Topic: "events", DeadLetter: "dead", Dial: func(context.Context) (*ch.Client, error) { return nil, nil }, ClickHouse: unreachable(t), Logger: logger, Meter: meter}); err != nil {
		t.Fatal(err)
	}
	if _, err := retain.New(retain.Config{ClickHouse: unreachable(t), Key: &seal.Key{}, Ring: &seal.Keyring{}, Recorder: nobody{}, Logger: logger, Meter: meter}); err != nil {
		t.Fatal(err)
	}
	families, err := figures.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
		names[f.GetName()+"_bucket"] = f.GetType().String() == "HISTOGRAM"
	}
	return names
}

// nobody records no event: no pass runs here.
type nobody struct{}

func (nobody) Record(context.Context, *event.Event) error { return nil }

var metricPattern = regexp.MustCompile(`custody_\w+`)

// Every metric that a panel asks for is one that a service has, by the name that
// Prometheus knows it by; a counter is asked for its rate.
func TestMetrics(t *testing.T) {
	names := exported(t)
	labels := map[string]bool{"custody_source": true, "custody_partition": true, "custody_state": true}
	seen := 0
	for _, b := range build(t) {
		for _, p := range b.Dashboard.Panels {
			if p.Panel == nil || p.Panel.Datasource == nil || *p.Panel.Datasource.Type != board.Prometheus {
				continue
			}
			for _, target := range p.Panel.Targets {
				expr := target.(promql.Dataquery).Expr
				for _, name := range metricPattern.FindAllString(expr, -1) {
					if labels[name] {
						continue
					}
					seen++
					if !names[name] {
						t.Errorf("panel %q asks for %s, which nobody has", *p.Panel.Title, name)
					}
					if strings.HasSuffix(name, "_bucket") && !strings.Contains(expr, "by (le)") {
						t.Errorf("panel %q loses the buckets' bounds: %s", *p.Panel.Title, expr)
					}
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d metrics looked at", seen)
	}
}

// unreachable is a connection that nobody dials.
func unreachable(t *testing.T) driver.Conn {
	t.Helper()
	conn, err := embeddedtest.Open("127.0.0.1:1", "nobody", "", "custody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
