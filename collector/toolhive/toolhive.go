// Package toolhive takes the audit events of ToolHive: what its proxy in front
// of an MCP server, or its virtual MCP server, saw of each request.
//
// Both written forms are read: the line that ToolHive's audit logger writes
// (msg "audit_event", snake_case keys), and the JSON of its AuditEvent type
// (metadata.auditId, loggedAt). A tool call becomes a tool_invocation; so do the
// other requests of the Model Context Protocol that use what a server offers
// (lists, resources, prompts). A refused request becomes a permission_decision
// too, marked as inferred: ToolHive records the refusal of a request, not the
// decision, and no allow. A workflow of the virtual MCP server is a task: its
// start and end become session events.
//
// The subject, the client's name and the delegation chain are those of the token
// that ToolHive validated. It guarantees nothing about who refused, about the
// token, and about trace ids: ToolHive records none of these. What it records of
// requests and responses is read for names, sizes and hashes only.
//
// It follows pkg/audit of ToolHive v0.44 and the delegation chain of
// toolhive-core's package audit; docs/sources/toolhive.md has the mapping.
package toolhive

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "toolhive"

// auditMessage is what the audit logger calls each of its lines.
const auditMessage = "audit_event"

// record is one audit event. The keys of its two forms do not collide.
type record struct {
	Message    string      `json:"msg"`
	AuditID    string      `json:"audit_id"`
	LoggedAt   string      `json:"logged_at"`
	StructTime string      `json:"loggedAt"`
	Type       string      `json:"type"`
	Outcome    string      `json:"outcome"`
	Component  string      `json:"component"`
	Source     source      `json:"source"`
	Subjects   subjects    `json:"subjects"`
	Delegation *delegation `json:"delegation"`
	Target     target      `json:"target"`
	Metadata   metadata    `json:"metadata"`
	Data       any         `json:"data"`
}

type source struct {
	Type  string         `json:"type"`
	Value string         `json:"value"`
	Extra map[string]any `json:"extra"`
}

type subjects struct {
	User          string `json:"user"`
	UserID        string `json:"user_id"`
	ClientName    string `json:"client_name"`
	ClientVersion string `json:"client_version"`
}

type target struct {
	Endpoint     string `json:"endpoint"`
	Method       string `json:"method"`
	Type         string `json:"type"`
	Name         string `json:"name"`
	WorkflowID   string `json:"workflow_id"`
	WorkflowName string `json:"workflow_name"`
	StepID       string `json:"step_id"`
	ToolName     string `json:"tool_name"`
}

type metadata struct {
	AuditID string         `json:"auditId"`
	Extra   map[string]any `json:"extra"`
}

// Parse is a [collector.Parse]: it turns one audit event into the call it tells
// of, the decision when it was refused, or the start or end of a workflow. Other
// lines of the same log, and requests that use nothing of a server, are ignored.
func Parse(raw []byte) ([]*event.Event, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("not an audit event: %w", err)
	}
	if r.Message != "" && r.Message != auditMessage {
		return nil, nil // the proxy's own log
	}
	if r.Type == "" && r.Outcome == "" && r.time() == "" {
		return nil, errors.New("not an audit event: want type, outcome and logged_at, or loggedAt")
	}
	at, outcome, err := r.required()
	if err != nil {
		return nil, err
	}
	events := r.events(outcome)
	for i, e := range events {
		e.Time = at
		e.Source.EventID = r.eventID(i)
		r.describe(e)
		e.Fit()
	}
	join(events)
	return events, nil
}

func (r *record) time() string {
	if r.LoggedAt != "" {
		return r.LoggedAt
	}
	return r.StructTime
}

// required reads what no event can do without.
func (r *record) required() (at event.Time, outcome event.Outcome, err error) {
	var problems event.Problems
	if at, err = event.ParseTime(r.time()); err != nil || at == 0 {
		problems = append(problems, event.Problem{Field: "logged_at", Reason: "want an RFC 3339 time"})
	}
	if r.Type == "" {
		problems = append(problems, event.Problem{Field: "type", Reason: "is required"})
	}
	outcome, known := r.outcome()
	if !known {
		problems = append(problems, event.Problem{Field: "outcome", Reason: "want success, failure, error, denied or application_error"})
	}
	if len(problems) > 0 {
		return 0, "", problems
	}
	return at, outcome, nil
}

// eventID is the audit id, with a suffix for each event after the first.
func (r *record) eventID(n int) string {
	id := r.AuditID
	if id == "" {
		id = r.Metadata.AuditID
	}
	if id == "" || n == 0 {
		return id
	}
	return fmt.Sprintf("%s/%d", id, n)
}

// join lets the refused call name its decision.
func join(events []*event.Event) {
	if len(events) < 2 || events[1].Source.EventID == "" {
		return
	}
	id := events[1].Source.EventID
	events[1].Decision.ID = id
	events[0].Correlation.DecisionID, events[1].Correlation.DecisionID = id, id
}
