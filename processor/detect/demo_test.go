package detect_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/native"
	"github.com/custody-audit/custody/collector/opa"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/deploy/demo"
	"github.com/custody-audit/custody/processor/detect"
	"github.com/custody-audit/custody/schemas/event"
)

// taken keeps what a collector made durable.
type taken struct {
	mu     sync.Mutex
	events []*event.Event // guarded by mu
}

// Publish implements [collector.Publisher].
func (k *taken) Publish(_ context.Context, events []collector.Canonical) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range events {
		e, err := event.Decode(c.Bytes)
		if err != nil {
			return err
		}
		k.events = append(k.events, e)
	}
	return nil
}

// enact runs one round of the demo estate against a collector and returns its
// events in the order of their arrival, and the truth.
func enact(t *testing.T, seed uint64) ([]*event.Event, []demo.Truth) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	made := demo.NewSources()
	var sources []collector.Source
	for _, s := range made {
		sources = append(sources, s.Source)
	}
	known, err := registry.New(registry.Config{Sources: sources, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := &taken{}
	gateway, err := collector.NewGateway(collector.GatewayConfig{Publisher: kept, Redactor: redactor, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(native.Path, native.Handler(known, gateway))
	mux.Handle(opa.Path, opa.Handler(known, gateway, quiet))
	server := httptest.NewServer(mux)
	defer server.Close()
	estate, err := demo.New(demo.Config{CollectorURL: server.URL, Keys: demo.Keys(made), Seed: seed, Once: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	did, err := estate.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(kept.events) != did.Total() {
		t.Fatalf("%d events sent, %d taken", did.Total(), len(kept.events))
	}
	return kept.events, did.Truth
}

// rules says which rule has to find which kind of misbehaviour. A human's own
// token is issued for another audience than the server that it is shown to.
var rules = map[demo.TruthKind]string{
	demo.Passthrough: "token_passthrough", demo.ScopeWidening: "scope_widening", demo.CallAfterDeny: "call_after_deny",
	demo.CallWithoutDecision: "call_without_decision", demo.StaticCredential: "static_credential", demo.UseAfterTaskEnd: "token_outliving_task",
	demo.HumanToken: "audience_mismatch",
}

// of tells whether the finding is about the truth: same rule, tenant and token,
// and of the events it rests on at least one is the truth's call or exchange.
func of(f *detect.Finding, x demo.Truth, byID map[string]*event.Event) bool {
	if f.Rule != rules[x.Kind] || f.Tenant != x.Tenant || !slices.Contains(x.TokenRefs, f.TokenRef) {
		return false
	}
	for _, id := range f.Evidence {
		e := byID[id.String()]
		call := e.Kind == event.ToolInvocation && e.Server.ID == x.Server && e.Tool.Name == x.Tool && e.Correlation.JSONRPCID == x.JSONRPCID
		if e.Correlation.TraceID == x.TraceID && (call || e.Kind == event.TokenExchange) {
			return true
		}
	}
	return false
}

// Against the truth of the estate, of several seeds: everything that there is a
// rule for is found, and nothing else.
func TestDemoEstate(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for seed := range uint64(3) {
		b.empty()
		events, truths := enact(t, seed)
		for part := range slices.Chunk(events, 100) {
			b.store(part...)
		}
		b.once()
		byID := map[string]*event.Event{}
		for _, e := range events {
			byID[e.ID] = e
		}
		truths = slices.DeleteFunc(truths, func(x demo.Truth) bool { return rules[x.Kind] == "" })
		findings := b.findings(detect.Filter{Limit: 1000})
		wrong := slices.DeleteFunc(slices.Clone(findings), func(f *detect.Finding) bool {
			return f.Status == detect.Open && slices.ContainsFunc(truths, func(x demo.Truth) bool { return of(f, x, byID) })
		})
		missed := slices.DeleteFunc(slices.Clone(truths), func(x demo.Truth) bool {
			return slices.ContainsFunc(findings, func(f *detect.Finding) bool { return of(f, x, byID) })
		})
		for _, f := range wrong {
			t.Errorf("seed %d: false: %s: %s", seed, f.Rule, f.Summary)
		}
		for _, x := range missed {
			t.Errorf("seed %d: missed: %s of %s by %s", seed, x.Kind, x.Tenant, x.Path())
		}
		t.Logf("seed %d: %d events, %d findings of %d truths: precision %.2f, recall %.2f", seed, len(events), len(findings), len(truths),
			1-float64(len(wrong))/float64(len(findings)), 1-float64(len(missed))/float64(len(truths)))
		if len(truths) != 21 {
			t.Errorf("seed %d: %d truths, want 21", seed, len(truths))
		}
	}
}
