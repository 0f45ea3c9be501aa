// Package contextforge takes what IBM ContextForge (mcp-context-forge) records
// of token exchanges, and of callers that it refused.
//
// A token exchange is the record "token-exchange" of its audit module: the
// member token_exchange of a line of its JSON log, or the record itself with a
// time. ContextForge logs the same exchange up to three times; the copies of its
// structured logger (custom_fields) are ignored like every other line. Events of
// its SIEM webhook come in an envelope: the record is looked for in its metadata
// and context, and a failed authentication or authorization becomes a
// permission_decision, marked as inferred since nothing tells what was allowed.
//
// The record names the user by e-mail address, the gateway entry and the
// audience. It guarantees nothing about the tokens: no reference, claim or scope
// of either is recorded, so an exchange joins calls by user, audience and time
// only. An exchange answered from ContextForge's cache is not recorded at all.
//
// It follows ContextForge v1.0: mcpgateway/utils/token_exchange_audit.py,
// services/logging_service.py and services/siem_export_service.py.
package contextforge

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "contextforge"

// Parse is a [collector.Parse]: it turns one log line, record or SIEM envelope
// into the exchange or the refusal that it tells of.
func Parse(raw []byte) ([]*event.Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	e, err := parse(raw, members)
	if e == nil || err != nil {
		return nil, err
	}
	e.Fit()
	return []*event.Event{e}, nil
}

func parse(raw []byte, members map[string]json.RawMessage) (*event.Event, error) {
	has := func(name string) bool { return len(members[name]) > 0 && string(members[name]) != "null" }
	switch {
	case has("token_exchange"):
		return logLine(raw)
	case isExchange(raw):
		return bare(raw)
	case has("event_type") && has("actor"):
		return siem(raw)
	case has("message") || has("@timestamp"):
		return nil, nil // another line of the log
	}
	return nil, errors.New("want a log line, a token-exchange record or a SIEM envelope")
}

// logLine reads a line of the JSON log that carries the record.
func logLine(raw []byte) (*event.Event, error) {
	var in struct {
		Time      string   `json:"@timestamp"`
		Exchange  exchange `json:"token_exchange"`
		RequestID string   `json:"request_id"`
		TraceID   string   `json:"trace_id"`
		SpanID    string   `json:"span_id"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("not a log line with token_exchange: %w", err)
	}
	e, err := in.Exchange.event("@timestamp", in.Time)
	if err != nil {
		return nil, err
	}
	if e.Correlation.RequestID == "" {
		e.Correlation.RequestID = in.RequestID
	}
	trace(e, in.TraceID, in.SpanID)
	return e, nil
}

// bare reads the record as a log handler of one's own may write it. ContextForge
// gives it no time, so that handler must.
func bare(raw []byte) (*event.Event, error) {
	var in struct {
		exchange
		Time string `json:"timestamp"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("not a token-exchange record: %w", err)
	}
	return in.event("timestamp", in.Time)
}

func isExchange(raw []byte) bool {
	var in struct {
		Event any `json:"event"`
	}
	return len(raw) > 0 && json.Unmarshal(raw, &in) == nil && in.Event == exchangeEvent
}

// parseTime reads the time of a record; field names where it stands.
func parseTime(field, s string) (event.Time, error) {
	t, err := event.ParseTime(s)
	if err != nil || t == 0 { // the text is not repeated: it may be anything
		return 0, event.Problems{{Field: field, Reason: "want an RFC 3339 time"}}
	}
	return t, nil
}
