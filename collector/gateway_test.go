package collector_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/collector/deepscan"
	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/collector/registry"
	"github.com/custody-audit/custody/schemas/event"
)

// publisher stands for Kafka and keeps what it is given.
type publisher struct {
	got []*event.Event
	err error
}

func (p *publisher) Publish(_ context.Context, events []collector.Canonical) error {
	for _, c := range events {
		e, err := event.Decode(c.Bytes)
		if err != nil {
			return err
		}
		p.got = append(p.got, e)
	}
	return p.err
}

var clock = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func newGateway(t *testing.T, p collector.Publisher) *collector.Gateway {
	t.Helper()
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := collector.NewGateway(collector.GatewayConfig{
		Publisher: p, Redactor: redactor, Clock: func() time.Time { return clock }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func session(at time.Time) *event.Event {
	return &event.Event{
		Kind: event.Session, Type: "task.start", Time: event.TimeOf(at), Outcome: event.Success,
		Subject: event.Party{Sub: "alice", Type: event.Human}, Correlation: event.Correlation{TaskID: "t-1"},
	}
}

var payments = &collector.Source{ID: "payments-mcp", Tenant: "acme", Servers: []string{"payments-mcp"}}

// Tenant, source, id and time of receipt are the collector's to say.
func TestGatewayStamps(t *testing.T) {
	p := &publisher{}
	e := session(clock.Add(-time.Second))
	e.Source.EventID = "e-1"
	rejected, err := newGateway(t, p).Accept(t.Context(), payments, "native", []*event.Event{e})
	if err != nil || len(rejected) != 0 || len(p.got) != 1 {
		t.Fatalf("rejected %v, %v", rejected, err)
	}
	got := p.got[0]
	want := event.Source{ID: "payments-mcp", Type: "native", EventID: "e-1"}
	if diff := cmp.Diff(want, got.Source); diff != "" || got.Tenant != "acme" || got.Server.ID != "payments-mcp" {
		t.Errorf("tenant %q, server %q, source (-want +got):\n%s", got.Tenant, got.Server.ID, diff)
	}
	if got.ObservedTime != event.TimeOf(clock) || got.Salt == "" || got.ID != event.NewID("acme", "payments-mcp", "e-1", got.Time) {
		t.Errorf("observed %v, salt %q, id %s", got.ObservedTime, got.Salt, got.ID)
	}
}

func TestGatewayRefusesWhatTheKeyDoesNotCover(t *testing.T) {
	for field, change := range map[string]func(*event.Event){
		"tenant":    func(e *event.Event) { e.Tenant = "globex" },
		"source.id": func(e *event.Event) { e.Source.ID = "acme-sts" },
		"server.id": func(e *event.Event) { e.Server.ID = "vault-mcp" },
	} {
		t.Run(field, func(t *testing.T) {
			p := &publisher{}
			bad, good := session(clock), session(clock)
			change(bad)
			rejected, err := newGateway(t, p).Accept(t.Context(), payments, "native", []*event.Event{good, bad})
			if err != nil || len(p.got) != 2 { // the good one, and the collector's own about the other
				t.Fatalf("%d published, %v", len(p.got), err)
			}
			own := p.got[1]
			if own.Type != collector.TypeClaim || own.Tenant != "acme" || own.Source.ID != "custody" || own.Subject.Sub != "payments-mcp" ||
				own.Outcome != event.Denied || !strings.HasPrefix(own.Decision.Resource, field+" ") || !rejected[0].Claim {
				t.Errorf("recorded as %s", own.Canonical())
			}
			if len(rejected) != 1 || rejected[0].Index != 1 || rejected[0].Problems[0].Field != field {
				t.Errorf("rejected %v, want event 1 for %s", rejected, field)
			}
		})
	}
}

func TestGatewayWarnsOfSkewAndTakesSecretsOut(t *testing.T) {
	p := &publisher{}
	e := session(clock.Add(time.Hour))
	key, _ := registry.NewKey()
	e.Attributes = map[string]string{"note": "used " + key}
	if _, err := newGateway(t, p).Accept(t.Context(), payments, "native", []*event.Event{e}); err != nil {
		t.Fatal(err)
	}
	got := p.got[0]
	if text := string(got.Canonical()); strings.Contains(text, key) {
		t.Errorf("the key is published: %s", text)
	}
	if text := fmt.Sprint(got.Warnings); !strings.Contains(text, "clock skew") || !strings.Contains(text, "secret") {
		t.Errorf("warnings %s", text)
	}
}

// A secret at the end of the longest text that a field may have makes the event no
// longer than events may be.
func TestGatewayKeepsAnEventThatRedactionMadeLonger(t *testing.T) {
	p := &publisher{}
	redactor, err := redact.New("k1", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	g, err := collector.NewGateway(collector.GatewayConfig{Publisher: p, Redactor: redactor, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e := session(clock)
	key := "AKIA" + strings.Repeat("Q7", 8)
	e.UserAgent = strings.Repeat("x", event.MaxString-len(key)-1) + " " + key
	rejected, err := g.Accept(t.Context(), payments, "native", []*event.Event{e})
	if err != nil || len(rejected) > 0 || len(p.got) != 1 {
		t.Fatalf("rejected %v, %v", rejected, err)
	}
	if got := p.got[0]; strings.Contains(got.UserAgent, key) || len(got.UserAgent) > event.MaxString || len(got.Warnings) != 2 {
		t.Errorf("%d bytes, %q", len(got.UserAgent), got.Warnings)
	}
}

// A source that asks for the deep scan gets it, in its events, its records before
// they are parsed, and what is answered about them; others do not.
func TestDeepScanOfASource(t *testing.T) {
	const secret = "f3a9c1d27b4e8065f3a9c1d27b4e8066"
	redactor, err := redact.New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	split := func(record []byte) ([]*event.Event, error) { // a text becomes a list, in which no word has context
		var in struct{ Scope, Bad string }
		if err := json.Unmarshal(record, &in); err != nil || in.Bad != "" {
			return nil, fmt.Errorf("bad is %q, %v", in.Bad, err)
		}
		e := session(clock)
		e.Token.Scope = strings.Fields(in.Scope)
		return []*event.Event{e}, nil
	}
	for _, deep := range []bool{false, true} {
		p := &publisher{}
		g, err := collector.NewGateway(collector.GatewayConfig{
			Publisher: p, Redactor: redactor, DeepRedactor: redactor.Deep(deepscan.Find), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		src := &collector.Source{ID: "s", Tenant: "acme", DeepScan: deep}
		e := session(clock)
		e.Attributes = map[string]string{"adafruit": secret, "note": "password: " + secret}
		if _, err := g.Accept(t.Context(), src, "native", []*event.Event{e}); err != nil {
			t.Fatal(err)
		}
		result, err := collector.TakeRecords(t.Context(), g, src, "words", split, [][]byte{[]byte(`{"scope":"password: ` + secret + `"}`), []byte(`{"bad":"password: ` + secret + `"}`)})
		if err != nil || len(p.got) != 2 || len(result.Rejected) != 1 {
			t.Fatalf("%d published, %+v, %v", len(p.got), result, err)
		}
		for what, text := range map[string]string{"event": string(p.got[0].Canonical()), "record": string(p.got[1].Canonical()), "answer": fmt.Sprint(result.Rejected)} {
			if strings.Contains(text, secret) == deep {
				t.Errorf("deep scan %t: %s: %s", deep, what, text)
			}
		}
		if deep && (len(p.got[0].Warnings) != 2 || len(p.got[1].Warnings) != 1) {
			t.Errorf("warnings %q and %q", p.got[0].Warnings, p.got[1].Warnings)
		}
	}
}

// Nothing is acknowledged that is not durable, and what is not valid is not tried.
func TestGatewayTellsUnavailableFromInvalid(t *testing.T) {
	p := &publisher{err: fmt.Errorf("%w: no broker", collector.ErrUnavailable)}
	g := newGateway(t, p)
	if _, err := g.Accept(t.Context(), payments, "native", []*event.Event{session(clock)}); !errors.Is(err, collector.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	rejected, err := g.Accept(t.Context(), payments, "native", []*event.Event{{Kind: "gossip"}})
	if err != nil || len(rejected) != 1 {
		t.Errorf("rejected %v, %v", rejected, err)
	}
}

// A source over its quota is told so, and others are not held up.
func TestQuota(t *testing.T) {
	p := &publisher{}
	g := newGateway(t, p)
	small, other := *payments, *payments
	small.EventsPerSecond, other.ID = 1, "other"
	batch := func(n int) (events []*event.Event) {
		for range n {
			events = append(events, session(clock))
		}
		return events
	}
	if _, err := g.Accept(t.Context(), &small, "native", batch(8)); err != nil {
		t.Errorf("within ten seconds of its quota: %v", err)
	}
	if _, err := g.Accept(t.Context(), &small, "native", batch(8)); !errors.Is(err, collector.ErrQuota) || len(p.got) != 8 {
		t.Errorf("over it: %v, %d published", err, len(p.got))
	}
	if _, err := g.Accept(t.Context(), &other, "native", batch(8)); err != nil {
		t.Errorf("another source: %v", err)
	}
	w := httptest.NewRecorder()
	if collector.Refuse(w, collector.ErrQuota); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" {
		t.Errorf("answer %d %v", w.Code, w.Header())
	}
}
