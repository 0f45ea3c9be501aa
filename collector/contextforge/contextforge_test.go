package contextforge

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/custody-audit/custody/collector/collectortest"
	"github.com/custody-audit/custody/schemas/event"
)

const success = `{"event":"token-exchange","user_email":"alice@acme.example","gateway_id":"g1","target_audience":"deploy-mcp","success":true,
	"exchanged_token_expires_in":300,"upstream":"deploy","latency_ms":212,"error":null,"correlation_id":"c-1","request_id":"req-1"}`

func parse1(t *testing.T, in string) *event.Event {
	t.Helper()
	events, err := Parse([]byte(in))
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	return events[0]
}

// The same exchange says the same however it is wrapped.
func TestSuccess(t *testing.T) {
	want := &event.Event{
		Kind: event.TokenExchange, Type: event.TypeTokenExchange, Time: 1793610000250417, Outcome: event.Success,
		Subject: event.Party{Sub: "alice@acme.example"},
		Server:  event.Server{ID: "g1", Name: "deploy"},
		Exchange: event.Exchange{GrantType: "urn:ietf:params:oauth:grant-type:token-exchange", RequestedAudience: []string{"deploy-mcp"},
			ExpiresIn: 300},
		Correlation: event.Correlation{RequestID: "req-1"},
		Attributes:  map[string]string{"contextforge.latency_ms": "212", "contextforge.correlation_id": "c-1"},
		Warnings:    []string{"no token reference: ContextForge does not tell which tokens were exchanged"},
	}
	bare := `{"timestamp":"2026-11-02T09:00:00.250417Z",` + success[1:]
	if diff := cmp.Diff(want, parse1(t, bare)); diff != "" {
		t.Errorf("bare (-want +got):\n%s", diff)
	}
	line := `{"name":"mcpgateway.audit.token_exchange","message":"m","@timestamp":"2026-11-02T09:00:00.250417Z","request_id":"other","token_exchange":` + success + `}`
	if diff := cmp.Diff(want, parse1(t, line)); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
	want.Source.EventID, want.ClientAddress = "evt_1", "10.20.0.14"
	siem := `{"event_id":"evt_1","event_type":"token_exchange","timestamp":"2026-11-02T09:00:00.250417+00:00","actor":{"client_ip":"10.20.0.14"},"context":{},"metadata":` + success + `}`
	if diff := cmp.Diff(want, parse1(t, siem)); diff != "" {
		t.Errorf("SIEM envelope (-want +got):\n%s", diff)
	}
}

// ContextForge knows no token's reference; nothing else of a successful exchange is missing.
func TestSuccessLacksOnlyTheReference(t *testing.T) {
	e := parse1(t, `{"timestamp":"2026-11-02T09:00:00Z",`+success[1:])
	e.SchemaVersion, e.Tenant, e.Source.ID, e.Source.Type = event.SchemaVersion, "acme", "contextforge", Type
	e.ID = event.NewID(e.Tenant, e.Source.ID, "", e.Time)
	var problems event.Problems
	if err := e.Validate(); err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Field != "exchange.subject_token_ref" {
			t.Errorf("%s: %s", p.Field, p.Reason)
		}
	}
}

func TestFailures(t *testing.T) {
	check := func(text string, outcome event.Outcome, attributes string) {
		t.Helper()
		record, err := json.Marshal(map[string]any{"event": "token-exchange", "timestamp": "2026-11-02T09:00:00Z", "user_email": "a", "success": false, "error": text})
		if err != nil {
			t.Fatal(err)
		}
		e := parse1(t, string(record))
		if got := e.Attributes["oauth.error"] + e.Attributes["http.response.status_code"]; e.Outcome != outcome || got != attributes {
			t.Errorf("%s: %s", text, e.Canonical())
		}
		if text != "" && strings.Contains(string(e.Canonical()), text) {
			t.Errorf("the text is kept: %s", e.Canonical())
		}
	}
	check("", event.Error, "")
	check("Token exchange failed after 3 attempts: timed out", event.Error, "")
	check("attempts: Server error '503 Service Unavailable' for url 'https://idp/token'", event.Error, "503")
	check("attempts: Client error '400 Bad Request' for url 'https://idp/token'", event.Failure, "400")
	check("attempts: Client error '403 Forbidden' for url 'https://idp/token'", event.Denied, "403")
	check("server said: invalid_grant", event.Failure, "invalid_grant")
	check("server said: invalid_target", event.Denied, "invalid_target")
	check("server said: xinvalid_targetx", event.Error, "")
}

func TestRefused(t *testing.T) {
	for in, field := range map[string]string{
		`{`: "", `{}`: "", `[]`: "",
		success: "timestamp",
		`{"event":"token-exchange","timestamp":"2026-11-02T09:00:00Z"}`:                                      "success",
		`{"event":"token-exchange","timestamp":"2026-11-02T09:00:00Z","success":1}`:                          "success",
		`{"message":"m","token_exchange":{"event":"token-exchange","success":true}}`:                         "@timestamp",
		`{"message":"m","@timestamp":"2026-11-02T09:00:00Z","token_exchange":{"user_email":{}}}`:             "user_email",
		`{"event_type":"authentication_failure","actor":{}}`:                                                 "timestamp",
		`{"event_type":"authentication_failure","actor":"alice"}`:                                            "actor",
		`{"event_type":"x","actor":{},"metadata":{"event":"token-exchange","success":false,"user_email":1}}`: "user_email",
	} {
		if events, err := Parse([]byte(in)); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, %v", in, events, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	collectortest.Fuzz(f, Parse, `{"timestamp":"2026-11-02T09:00:00Z",`+success[1:],
		`{"@timestamp":"2026-11-02T09:00:00Z","token_exchange":`+success+`,"trace_id":"x"}`,
		`{"event_id":"e","event_type":"authentication_failure","timestamp":"2026-11-02T09:00:00+00:00","actor":{"user_id":"a"},"context":{"auth_method":"b"}}`)
}

func TestContract(t *testing.T) { collectortest.Run(t, Parse, "testdata") }
