package cerbos

import (
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// decision is what every event of an entry has in common.
func (in *entry) decision(eventType, place string) *event.Event {
	at, _ := event.ParseTime(in.Timestamp) // problems found none
	e := &event.Event{
		Kind: event.PermissionDecision, Type: eventType, Time: at,
		ClientAddress: in.Peer.Address, UserAgent: in.Peer.UserAgent,
		Decision:   event.Decision{Engine: engine},
		Attributes: map[string]string{},
	}
	in.place(e, place)
	set(e, "cerbos.call_id", in.CallID)
	set(e, "cerbos.forwarded_for", in.Peer.ForwardedFor)
	if in.Oversized {
		e.Warnings = append(e.Warnings, "the entry was oversized: Cerbos removed parts of it")
	}
	in.correlate(e)
	return e
}

// place sets the event's id, the call's and the place in it, so that one action's
// deny is not taken for another's.
func (in *entry) place(e *event.Event, place string) {
	e.Source.EventID = in.CallID + "/" + place
	e.Decision.ID = e.Source.EventID
}

// asks fills the action, and the tool and server that it is about.
func (in *entry) asks(e *event.Event, r resource, action string) {
	e.Decision.Action = action
	tool(e, r, action)
	in.annotate(e)
}

// question fills who asked, and about what.
func (in *entry) question(e *event.Event, asked input) {
	e.Decision.Resource = asked.Resource.ID
	if asked.RequestID != "" {
		e.Correlation.RequestID = asked.RequestID
	}
	set(e, "cerbos.resource_kind", asked.Resource.Kind)
	set(e, "cerbos.roles", joined(asked.Principal.Roles))
	switch id := asked.Principal.ID; id {
	case "":
		e.Warnings = append(e.Warnings, "no principal: identity lost at the source")
	case "anonymous":
		e.Warnings = append(e.Warnings, `principal "anonymous" is no identity`)
	default:
		e.Subject = event.Party{Sub: id, Type: subjectType(asked.Principal.Roles)}
	}
	claims(e, asked)
	in.presented(e)
}

// subjectType reads the kind of principal from its roles where one is its name.
func subjectType(roles []string) event.PartyType {
	for _, role := range roles {
		switch t := event.PartyType(strings.ToLower(role)); t {
		case event.Human, event.Agent, event.Workload, event.Service:
			return t
		}
	}
	return ""
}

// tool reads the ways in which MCP servers ask Cerbos about tools: the kind
// "tool" or "mcp::tool" with the tool as id, after the server if that is
// there; or the kind "mcp::ANYTHING" with the tool as action.
func tool(e *event.Event, r resource, action string) {
	rest, isMCP := strings.CutPrefix(strings.ToLower(r.Kind), "mcp::")
	switch {
	case rest == "tool":
		e.Tool.Name = r.ID
		if server, name, ok := strings.Cut(r.ID, "/"); ok && isMCP {
			e.Server.ID, e.Tool.Name = server, name
		}
	case isMCP:
		e.Tool.Name = action
	}
}

// annotate reads what the caller put into requestContext.annotations under the
// names of the event; they are meant for the audit log, and of the whole call.
func (in *entry) annotate(e *event.Event) {
	notes := in.Annotations.Annotations
	if sub := text(notes["actor"]); sub != "" && e.Actor.Sub == "" {
		e.Actor = event.Party{Iss: text(notes["actor_iss"]), Sub: sub}
	}
	for _, f := range []struct {
		dst  *string
		name string
	}{
		{&e.Server.ID, "server"}, {&e.Server.URI, "server_uri"}, {&e.Tool.Name, "tool"}, {&e.Client.ID, "client_id"},
		{&e.Correlation.JSONRPCID, "jsonrpc_id"}, {&e.Correlation.SessionID, "session_id"},
		{&e.Correlation.TaskID, "task_id"}, {&e.Correlation.TransactionID, "transaction_id"},
	} {
		if s := text(notes[f.name]); s != "" && *f.dst == "" {
			*f.dst = s
		}
	}
}

// presented reads the reference of the token that the caller was shown.
func (in *entry) presented(e *event.Event) {
	ref := text(in.Annotations.Annotations["token_ref"])
	if ref != "" && !event.ValidRef(ref) {
		ref = event.TokenRef(ref)
		e.Warnings = append(e.Warnings, "requestContext.annotations.token_ref held a token; replaced by its reference")
	}
	e.Token.Ref = ref
}

// correlate reads the trace and the request from gRPC metadata or annotations.
func (in *entry) correlate(e *event.Event) {
	notes := in.Annotations.Annotations
	e.Correlation.RequestID = in.Metadata.get("x-request-id")
	for _, traceparent := range []string{in.Metadata.get("traceparent"), text(notes["traceparent"])} {
		part := strings.SplitN(traceparent, "-", 5)
		if len(part) >= 4 && isHex(part[1], 32) && isHex(part[2], 16) {
			e.Correlation.TraceID, e.Correlation.ParentSpanID = part[1], part[2]
			return
		}
	}
	if id := text(notes["trace_id"]); isHex(id, 32) {
		e.Correlation.TraceID = id
	}
}

func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}
