package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/event"
)

const goodKey = "key-of-acme-gateway"

var gateway = &collector.Source{ID: "acme-gateway", Tenant: "acme", Type: Type}

// memory is an intake that keeps its events in memory: it stamps and validates
// as the real one does, and can be away for some calls.
type memory struct {
	mu     sync.Mutex
	away   int // calls still to be turned away; guarded by mu
	calls  int // guarded by mu
	events []*event.Event
}

func (m *memory) Accept(_ context.Context, src *collector.Source, sourceType string, events []*event.Event) ([]collector.Rejection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls++; m.away > 0 {
		m.away--
		return nil, fmt.Errorf("broker is away: %w", collector.ErrUnavailable)
	}
	var rejected []collector.Rejection
	for i, e := range events {
		stamp(e, src, sourceType)
		if err := e.Validate(); err != nil {
			rejected = append(rejected, collector.Rejection{Index: i, Problems: err.(event.Problems)})
			continue
		}
		m.events = append(m.events, e)
	}
	return rejected, nil
}

func stamp(e *event.Event, src *collector.Source, sourceType string) {
	e.SchemaVersion, e.Tenant, e.Source.ID, e.Source.Type = event.SchemaVersion, src.Tenant, src.ID, sourceType
	e.ID = event.NewID(e.Tenant, e.Source.ID, e.Source.EventID, e.Time)
}

// taken returns the events and how often Accept was called.
func (m *memory) taken() ([]*event.Event, int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events, m.calls
}

// sources are a gateway and one whose key is for another endpoint.
func sources() *registry.Registry {
	one := *gateway
	one.KeySHA256 = registry.HashKey(goodKey)
	r, err := registry.New(registry.Config{Logger: slog.New(slog.DiscardHandler), Sources: []collector.Source{
		one, {ID: "acme-opa", Tenant: "acme", Type: "opa", KeySHA256: registry.HashKey("key-of-opa")},
	}})
	if err != nil {
		panic(err)
	}
	return r
}

// serve starts both transports on listeners of their own.
func serve(t *testing.T, intake collector.Intake) (httpAddr, grpcAddr string) {
	t.Helper()
	r := New(Config{Intake: intake, Sources: sources()})
	mux := http.NewServeMux()
	r.Register(mux)
	h := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second}
	g := grpc.NewServer(r.ServerOptions()...)
	r.RegisterGRPC(g)
	var done sync.WaitGroup
	listen := func(serve func(net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done.Go(func() { serve(l) })
		return l.Addr().String()
	}
	httpAddr, grpcAddr = listen(h.Serve), listen(g.Serve)
	t.Cleanup(func() {
		h.Close()
		g.Stop()
		done.Wait()
	})
	return httpAddr, grpcAddr
}

// Clean changes nothing.
func (*memory) Rejected(context.Context, *collector.Source, string, int) {}

func (*memory) Clean(_ *collector.Source, text []byte) ([]byte, []string) { return text, nil }
