package demo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/schemas/event"
)

var quiet = slog.New(slog.DiscardHandler)

// intake is the product's own way in up to the point where Kafka would be. It
// redacts nothing: what the estate sends must be fit as it comes.
type intake struct {
	*httptest.Server
	sources []demo.SourceKey

	mu     sync.Mutex
	events []*event.Event // accepted, in the order of their arrival; guarded by mu
	bodies bytes.Buffer   // everything received, decoded; guarded by mu
	away   int            // requests to answer 503; guarded by mu
}

// Accept stamps and validates as the collector's gateway does.
func (in *intake) Accept(_ context.Context, src *collector.Source, sourceType string, events []*event.Event) ([]collector.Rejection, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	var rejected []collector.Rejection
	for i, e := range events {
		e.Tenant, e.Source.ID, e.Source.Type = src.Tenant, src.ID, sourceType
		e.SchemaVersion, e.ObservedTime, e.Salt = event.SchemaVersion, event.TimeOf(time.Now()), event.NewSalt()
		e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
		err := e.Validate()
		if err == nil && len(src.Servers) > 0 && !slices.Contains(src.Servers, e.Server.ID) {
			err = event.Problems{{Field: "server.id", Reason: "is not one of the source's"}}
		}
		var problems event.Problems
		if errors.As(err, &problems) {
			rejected = append(rejected, collector.Rejection{Index: i, Problems: problems})
			continue
		}
		in.events = append(in.events, e)
	}
	return rejected, nil
}

func newIntake(t *testing.T) *intake {
	t.Helper()
	in := &intake{sources: demo.NewSources()}
	var configured []collector.Source
	for _, s := range in.sources {
		configured = append(configured, s.Source)
	}
	sources, err := registry.New(registry.Config{Sources: configured, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(native.Path, native.Handler(sources, in))
	mux.Handle(opa.Path, opa.Handler(sources, in, quiet))
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

// complaints shows in a failing test what the estate had to complain of.
func complaints(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// run enacts one round against a fresh intake.
func run(t *testing.T, change func(*demo.Config)) (*intake, *demo.Summary) {
	t.Helper()
	in := newIntake(t)
	return in, runAgainst(t, in, change)
}

func runAgainst(t *testing.T, in *intake, change func(*demo.Config)) *demo.Summary {
	t.Helper()
	cfg := demo.Config{CollectorURL: in.URL, Keys: demo.Keys(in.sources), Seed: 7, Once: true, Logger: complaints(t)}
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

// Clean changes nothing.
func (*intake) Rejected(context.Context, *collector.Source, string, int) {}

func (*intake) Clean(_ *collector.Source, text []byte) ([]byte, []string) { return text, nil }
