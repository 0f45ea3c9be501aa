// Package teleport takes the audit events that Teleport writes about MCP
// sessions: the lines of its file audit log, or what its event handler sends.
//
// It is a parser and stands between a transport (push, tail) and the gateway.
// mcp.session.start, .end, .listen_sse_stream, .invalid_http_request,
// .notification and the request initialize become session events;
// every other mcp.session.request becomes a tool_invocation. A call that
// Teleport's roles refused has outcome denied, and decision says who refused it.
// No permission_decision is made: Teleport records refusals only, and a source
// of decisions that tells of refusals alone would make every other call look
// undecided. Every other audit event is ignored.
//
// It guarantees that neither arguments nor headers come through, and that a
// bearer token in a header comes through as its reference. It cannot tell what a
// tool answered: Teleport writes the record of a request without its result.
//
// The members are those of Teleport 18 (api/proto/teleport/legacy/types/events/
// events.proto: MCPSessionStart and the messages after it; codes TMCP001I to
// TMCP006E in lib/events/codes.go).
package teleport

import (
	"encoding/json"
	"strings"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "teleport"

// maxListBytes bounds a list of texts of an event.
const maxListBytes = 16 << 10

// engine is what decision.engine says of a refusal by Teleport's roles.
const engine = "teleport"

const eventPrefix = "mcp.session."

// Parse is a [collector.Parse]: it turns one audit event into the event that it
// states, or nothing when it is about something else than MCP. An error is
// [event.Problems] where a member is missing.
func Parse(raw []byte) ([]*event.Event, error) {
	var head struct {
		Event string `json:"event"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, collector.DecodeError(err, "audit event", path)
	}
	if !strings.HasPrefix(head.Event, eventPrefix) {
		if head.Event == "" {
			return nil, event.Problems{{Field: "event", Reason: "is required"}}
		}
		return nil, nil
	}
	var in entry
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, collector.DecodeError(err, "audit event", path)
	}
	if problems := in.problems(); len(problems) > 0 {
		return nil, problems
	}
	e := in.event()
	e.Fit()
	return []*event.Event{e}, nil
}
