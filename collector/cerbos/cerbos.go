// Package cerbos takes the audit log of a Cerbos policy decision point: JSON
// lines of its file backend, records of its Kafka backend in JSON, or entries
// that the admin API lists.
//
// It is a parser and stands between a transport (push, tail) and the gateway. A
// decision log entry holds inputs, each with actions; every action of every
// input becomes one permission_decision, with an id of call id and place. A
// PlanResources entry is one answer and becomes one. Of access log entries only
// a check that failed before it was decided becomes an event; those of success
// repeat what decisions say, and are ignored.
//
// It guarantees that attributes of principals and resources do not come through.
// An error of the engine is effect error, never deny; a deny beside an expression
// that failed stays a deny with a warning, since the entry does not tell whether
// one is because of the other.
//
// The members are those of cerbos.audit.v1 (api/public/cerbos/audit/v1/
// audit.proto) up to Cerbos 0.54, with the older form that has inputs and
// outputs at the top. Field names are camel case in every JSON backend. The
// header cerbos.audit.kind of a Kafka record is no part of its value: the kind is
// read from log.kind, from a member of the header's name, or from the shape.
package cerbos

import (
	"encoding/json"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "cerbos"

// maxListBytes bounds a list of texts of an event.
const maxListBytes = 4 << 10

const engine = "cerbos"

// logger is log.logger of the audit log's lines.
const logger = "cerbos.audit"

// maxDecisions bounds the events of one entry. A server with default limits asks
// at most 50 actions of 50 resources in a call.
const maxDecisions = 5_000

// Parse is a [collector.Parse]: it turns one audit log entry into the decisions
// that it holds, or nothing for an access log entry of a call that succeeded and
// for a line of another log of the server. An error is [event.Problems] where a member is missing or of another type.
func Parse(raw []byte) ([]*event.Event, error) {
	in, err := read(raw)
	if err != nil {
		return nil, err
	}
	if in.Logger != "" && in.Logger != logger {
		return nil, nil
	}
	if problems := in.problems(); len(problems) > 0 {
		return nil, problems
	}
	var events []*event.Event
	switch in.kind() {
	case "access":
		events = in.access()
	default:
		events = in.decisions()
	}
	for _, e := range events {
		e.Fit()
	}
	return events, nil
}

// read unwraps what the admin API lists: {"decisionLogEntry": {...}}.
func read(raw []byte) (*entry, error) {
	var in struct {
		Decision *entry `json:"decisionLogEntry"`
		Access   *entry `json:"accessLogEntry"`
		entry
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, collector.DecodeError(err, "audit log entry", path)
	}
	switch {
	case in.Decision != nil:
		return in.Decision, nil
	case in.Access != nil:
		return in.Access, nil
	}
	return &in.entry, nil
}
