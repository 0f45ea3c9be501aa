package contextforge

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/custody-audit/custody/schemas/event"
)

// envelope is what ContextForge's SIEM export wraps around an event.
type envelope struct {
	ID          string          `json:"event_id"`
	Time        string          `json:"timestamp"`
	Type        string          `json:"event_type"`
	Description string          `json:"description"`
	Actor       actor           `json:"actor"`
	Context     json.RawMessage `json:"context"`
	Metadata    json.RawMessage `json:"metadata"`
}

type actor struct {
	UserID    string `json:"user_id"`
	UserEmail string `json:"user_email"`
	ClientIP  string `json:"client_ip"`
	UserAgent string `json:"user_agent"`
}

// refusals are the event types of callers that were refused, and what they asked for.
var refusals = map[string]string{"authentication_failure": "authenticate", "authorization_failure": "authorize"}

// siem reads an event of the SIEM webhook; nil when it states no identity fact.
func siem(raw []byte) (*event.Event, error) {
	var in envelope
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("not a SIEM envelope: %w", err)
	}
	e, err := in.event()
	if e == nil || err != nil {
		return nil, err
	}
	e.Source.EventID = in.ID
	e.UserAgent = in.Actor.UserAgent
	if in.Actor.ClientIP != "unknown" {
		e.ClientAddress = in.Actor.ClientIP
	}
	return e, nil
}

func (in *envelope) event() (*event.Event, error) {
	for _, part := range []json.RawMessage{in.Metadata, in.Context} {
		if isExchange(part) {
			return in.exchange(part)
		}
	}
	action, ok := refusals[in.Type]
	if !ok {
		return nil, nil
	}
	return in.refused(action)
}

func (in *envelope) exchange(part json.RawMessage) (*event.Event, error) {
	var x exchange
	if err := json.Unmarshal(part, &x); err != nil {
		return nil, fmt.Errorf("not a token-exchange record: %w", err)
	}
	if x.UserEmail == "" {
		x.UserEmail = in.Actor.UserEmail
	}
	if x.UserEmail == redacted && known(in.Actor.UserID) { // the export redacts the one and not the other
		x.UserEmail = in.Actor.UserID
	}
	return x.event("timestamp", in.Time)
}

func (in *envelope) refused(action string) (*event.Event, error) {
	t, err := parseTime("timestamp", in.Time)
	if err != nil {
		return nil, err
	}
	e := &event.Event{Kind: event.PermissionDecision, Type: "contextforge." + in.Type, Time: t, Outcome: event.Denied}
	e.Decision = event.Decision{Effect: event.Deny, Engine: Type, Action: action, Reason: in.Description, Inferred: true}
	user := in.Actor.UserEmail
	if !known(user) && known(in.Actor.UserID) {
		user = in.Actor.UserID
	}
	subject(e, user)
	var c struct {
		CorrelationID any `json:"correlation_id"`
		AuthMethod    any `json:"auth_method"`
	}
	if json.Unmarshal(in.Context, &c) == nil {
		e.Correlation.RequestID, _ = c.CorrelationID.(string)
		method, _ := c.AuthMethod.(string)
		e.SetAttribute("contextforge.auth_method", method)
	}
	return e, nil
}

// redacted is what the SIEM export writes over the fields that it is told to.
// By default user_email is one of them.
const redacted = "***REDACTED***"

func known(user string) bool {
	return user != "" && user != redacted && user != "unknown" && user != "anonymous"
}

func subject(e *event.Event, user string) {
	switch {
	case known(user):
		e.Subject.Sub = user
	case user == redacted:
		e.Warnings = append(e.Warnings, "user_email is redacted by ContextForge: identity lost at the source")
	default:
		e.Warnings = append(e.Warnings, "no user: identity lost at the source")
	}
}

var (
	traceID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	spanID  = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

// trace fills the trace context of a log line, where it is one.
func trace(e *event.Event, trace, span string) {
	if traceID.MatchString(trace) {
		e.Correlation.TraceID = trace
	}
	if spanID.MatchString(span) {
		e.Correlation.SpanID = span
	}
	if trace != e.Correlation.TraceID || span != e.Correlation.SpanID {
		e.Warnings = append(e.Warnings, "trace_id or span_id is no W3C id in lower-case hex; left out")
	}
}
