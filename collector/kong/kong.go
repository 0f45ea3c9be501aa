// Package kong reads what Kong AI Gateway logs of MCP traffic: the record that
// its log plugins (file-log, http-log, tcp-log and their like) write for each
// request, when the AI MCP Proxy plugin, or an AI MCP Server, handles the route.
//
// It stands between the transport (POST /v1/push/kong, custody tail) and the
// gateway, as a plain function. Each JSON-RPC request in ai.mcp.rpc that uses
// or lists something of the server becomes one tool_invocation, each entry of
// ai.mcp.audit one permission_decision, and an initialize that opened a session
// one session event. A record without ai.mcp states no identity fact.
//
// It follows Kong's published log format: ai.mcp.rpc since Gateway 3.12,
// ai.mcp.audit since 3.13, protocol_version and mcp_server_id of AI Gateway 2.1.
// It guarantees that no payload, header value (but the User-Agent and
// traceparent) or query string is kept. It cannot know the token: Kong logs the
// id of the credential it stored, or of the claim it took for one, never a hash.
package kong

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "kong"

// maxEntries bounds the JSON-RPC requests and the decisions read of one record;
// a JSON-RPC batch is one HTTP request.
const maxEntries = 256

// Parse is a [collector.Parse]: one record of a log plugin becomes the calls
// and the decisions that it states.
func Parse(record []byte) ([]*event.Event, error) {
	var in entry
	if err := decode(record, &in); err != nil {
		return nil, err
	}
	mcp := in.AI.MCP
	if len(mcp.RPC) == 0 && len(mcp.Audit) == 0 {
		return nil, nil
	}
	if in.StartedAt <= 0 || in.StartedAt >= maxMilliseconds {
		return nil, event.Problems{{Field: "started_at", Reason: "want milliseconds since 1970"}}
	}
	var events []*event.Event
	decisions := map[string]string{} // by tool, the id of its decision
	for i, a := range mcp.Audit[:min(len(mcp.Audit), maxEntries)] {
		e := in.decision(a, in.id("audit", i))
		if a.Name != "" && e.Decision.ID != "" {
			decisions[a.Name] = e.Decision.ID
		}
		events = append(events, e)
	}
	for i, r := range mcp.RPC[:min(len(mcp.RPC), maxEntries)] {
		if e := in.call(r, in.id("rpc", i)); e != nil {
			e.Correlation.DecisionID = decisions[e.Tool.Name]
			events = append(events, e)
		}
	}
	if more := max(len(mcp.Audit), len(mcp.RPC)) - maxEntries; more > 0 && len(events) > 0 {
		last := events[len(events)-1]
		last.Warnings = append(last.Warnings, fmt.Sprintf("%d entries of the record left out: at most %d", more, maxEntries))
	}
	for _, e := range events {
		e.Fit()
	}
	return events, nil
}

const maxMilliseconds = 253402300800000 // the year 10000

// decode reads a record; its errors name the field and no value.
func decode(record []byte, in *entry) error {
	if err := json.Unmarshal(record, in); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			got, _, _ := strings.Cut(wrong.Value, " ") // "number 1": the kind only
			return event.Problems{{Field: wrong.Field, Reason: fmt.Sprintf("is a JSON %s, which it cannot be", got)}}
		}
		return fmt.Errorf("not a record of a Kong log plugin: %w", err)
	}
	return nil
}

// id is the source's own id of one entry of the record; empty before Gateway
// 3.5, which gave requests no id.
func (in *entry) id(list string, i int) string {
	if in.Request.ID == "" {
		return ""
	}
	return fmt.Sprintf("%s/%s/%d", in.Request.ID, list, i)
}

// common is what all events of a record share.
func (in *entry) common(id string) *event.Event {
	mcp := in.AI.MCP
	e := &event.Event{
		Time:          event.TimeOf(time.UnixMilli(int64(in.StartedAt))),
		Source:        event.Source{EventID: id},
		Server:        event.Server{ID: first(in.Service.Name, mcp.ServerID, in.Route.Name), URI: bare(in.Request.URL)},
		Upstream:      in.upstream(),
		ClientAddress: in.ClientIP,
		UserAgent:     in.Request.header("user-agent"),
		Correlation:   event.Correlation{RequestID: in.Request.ID, SessionID: mcp.SessionID},
		Attributes:    map[string]string{},
	}
	in.trace(e)
	in.who(e)
	for name, value := range map[string]string{
		"mcp.protocol.version": mcp.ProtocolVersion, "kong.mcp_server_id": mcp.ServerID,
		"kong.route": in.Route.Name, "kong.workspace": in.WorkspaceName,
	} {
		if value != "" {
			e.Attributes[name] = value
		}
	}
	return e
}
