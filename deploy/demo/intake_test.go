package demo_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/schemas/event"
)

var quiet = slog.New(slog.DiscardHandler)

// intake is the product's own way in, with memory where Kafka would be.
type intake struct {
	*httptest.Server
	sources []demo.SourceKey

	mu     sync.Mutex
	events []*event.Event // accepted, in the order of their arrival; guarded by mu
	bodies bytes.Buffer   // everything received, decoded; guarded by mu
	away   int            // requests to answer 503; guarded by mu
}

func (in *intake) Publish(_ context.Context, events []collector.Canonical) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, c := range events {
		e, err := event.Decode(c.Bytes)
		if err != nil {
			return err
		}
		in.events = append(in.events, e)
	}
	return nil
}

func newIntake(t *testing.T) *intake {
	t.Helper()
	in := &intake{sources: demo.NewSources()}
	var configured []collector.Source
	for _, s := range in.sources {
		configured = append(configured, s.Source)
	}
	registry, err := collector.NewRegistry(configured)
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: in, Redactor: redactor, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(native.Path, native.Handler(registry, gateway))
	mux.Handle(opa.Path, opa.Handler(registry, gateway, quiet))
	in.Server = httptest.NewServer(in.keep(t, mux))
	t.Cleanup(in.Close)
	return in
}

// keep stores what came over the wire, before anything is redacted.
func (in *intake) keep(t *testing.T, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		in.mu.Lock()
		in.bodies.Write(decompress(t, r.Header.Get("Content-Encoding"), raw))
		in.away--
		away := in.away >= 0
		in.mu.Unlock()
		if away {
			collector.Refuse(w, collector.ErrUnavailable)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		next.ServeHTTP(w, r)
	})
}

func decompress(t *testing.T, encoding string, raw []byte) []byte {
	var r io.Reader = bytes.NewReader(raw)
	switch encoding {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Error(err)
			return nil
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer z.Close()
		r = z
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return body
}

// run enacts one round against a fresh intake.
func run(t *testing.T, change func(*demo.Config)) (*intake, *demo.Summary) {
	t.Helper()
	in := newIntake(t)
	return in, runAgainst(t, in, change)
}

func runAgainst(t *testing.T, in *intake, change func(*demo.Config)) *demo.Summary {
	t.Helper()
	cfg := demo.Config{CollectorURL: in.URL, Keys: demo.Keys(in.sources), Seed: 7, Once: true, Logger: quiet}
	if change != nil {
		change(&cfg)
	}
	estate, err := demo.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := estate.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return summary
}
