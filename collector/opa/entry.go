package opa

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// entry is one decision log event, as OPA's documentation of decision logs
// names its members.
type entry struct {
	DecisionID string `json:"decision_id"`
	TraceID    string `json:"trace_id"`
	SpanID     string `json:"span_id"`
	ReqID      uint64 `json:"req_id"`
	Bundles    map[string]struct {
		Revision string `json:"revision"`
	} `json:"bundles"`
	Revision    string          `json:"revision"`
	Path        string          `json:"path"`
	Query       string          `json:"query"`
	Input       json.RawMessage `json:"input"`
	Result      json.RawMessage `json:"result"`
	Error       json.RawMessage `json:"error"`
	Erased      []string        `json:"erased"`
	Masked      []string        `json:"masked"`
	RequestedBy string          `json:"requested_by"`
	Timestamp   time.Time       `json:"timestamp"`
}

// Parse is a [collector.Parse]: it turns one decision log entry into a permission_decision.
func Parse(raw []byte) ([]*event.Event, error) {
	var in entry
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("not a decision log entry: %w", err)
	}
	var problems event.Problems
	if in.DecisionID == "" {
		problems = append(problems, event.Problem{Field: "decision_id", Reason: "is required"})
	}
	if in.Timestamp.IsZero() {
		problems = append(problems, event.Problem{Field: "timestamp", Reason: "is required"})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	e := &event.Event{
		Kind: event.PermissionDecision, Type: "opa.decision",
		Time:          event.TimeOf(in.Timestamp),
		Source:        event.Source{EventID: in.DecisionID},
		ClientAddress: in.RequestedBy,
		Decision:      event.Decision{ID: in.DecisionID, Engine: "opa", Policy: in.policy(), PolicyVersion: in.version()},
		Correlation:   event.Correlation{TraceID: in.TraceID, SpanID: in.SpanID},
	}
	in.decide(e)
	question(in.Input, e)
	for _, p := range append(in.Erased, in.Masked...) {
		e.Warnings = append(e.Warnings, "removed by OPA's mask: "+p)
	}
	return []*event.Event{e}, nil
}

func (in *entry) policy() string {
	if in.Path != "" {
		return in.Path
	}
	return in.Query
}

func (in *entry) version() string {
	var all []string
	for name, b := range in.Bundles {
		all = append(all, name+"@"+b.Revision)
	}
	slices.Sort(all)
	if len(all) == 0 {
		return in.Revision
	}
	return strings.Join(all, ",")
}

// decide reads the answer. An error is no decision, and an undefined result is
// a policy that had nothing to say: neither is a denial by rule.
func (in *entry) decide(e *event.Event) {
	if len(in.Error) > 0 && string(in.Error) != "null" {
		e.Decision.Effect, e.Outcome = event.EffectError, event.Error
		e.Decision.Reason = errorText(in.Error)
		return
	}
	allowed, reason, known := answer(in.Result)
	e.Decision.Reason = reason
	switch {
	case !known:
		e.Decision.Effect, e.Outcome = event.NotApplicable, event.Failure
	case allowed:
		e.Decision.Effect, e.Outcome = event.Allow, event.Success
	default:
		e.Decision.Effect, e.Outcome = event.Deny, event.Denied
	}
}

func errorText(raw json.RawMessage) string {
	var o struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(raw, &o) == nil && o.Message != "" {
		return o.Message
	}
	return string(raw)
}

// answer reads what policies return: a boolean, the text "true", or an object
// with allow (or allowed, decision, result) and a reason.
func answer(raw json.RawMessage) (allowed bool, reason string, known bool) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return false, "", false
	}
	o, isObject := v.(map[string]any)
	if !isObject {
		allowed, known = truth(v)
		return allowed, "", known
	}
	for _, name := range []string{"allow", "allowed", "decision", "result"} {
		if allowed, known = truth(o[name]); known {
			break
		}
	}
	reason, _ = first(o, "reason", "reason_user", "message").(string)
	return allowed, reason, known
}

func truth(v any) (value, known bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		switch strings.ToLower(v) {
		case "true", "allow", "allowed", "permit":
			return true, true
		case "false", "deny", "denied", "forbid":
			return false, true
		}
	}
	return false, false
}
