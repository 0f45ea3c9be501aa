package teleport

import (
	"encoding/json"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// entry is an MCP audit event. Its parts are embedded in Teleport's messages, so
// all members stand at the top.
type entry struct {
	Event       string `json:"event"`
	Code        string `json:"code"`
	UID         string `json:"uid"`
	Time        string `json:"time"`
	ClusterName string `json:"cluster_name"`
	identity
	SessionID  string              `json:"sid"`
	AppName    string              `json:"app_name"`
	AppURI     string              `json:"app_uri"`
	RemoteAddr string              `json:"addr.remote"`
	Success    *bool               `json:"success"`
	Error      string              `json:"error"`
	Message    message             `json:"message"`
	Headers    map[string][]string `json:"headers"`
	session
	Method string `json:"method"` // of mcp.session.invalid_http_request
}

// session is what mcp.session.start has beside; all but the app's are told by
// the client or the MCP server.
type session struct {
	MCPSessionID    string `json:"mcp_session_id"`
	ClientInfo      string `json:"client_info"`
	ServerInfo      string `json:"server_info"`
	ProtocolVersion string `json:"protocol_version"`
	IngressAuthType string `json:"ingress_auth_type"`
	EgressAuthType  string `json:"egress_auth_type"`
}

// message is the JSON-RPC message of a request or notification.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

func (in *entry) problems() event.Problems {
	var problems event.Problems
	required := func(field string, present bool) {
		if !present {
			problems = append(problems, event.Problem{Field: field, Reason: "is required"})
		}
	}
	required("time", in.Time != "")
	if t, err := event.ParseTime(in.Time); in.Time != "" && (err != nil || t == 0) {
		problems = append(problems, event.Problem{Field: "time", Reason: "want an RFC 3339 time after 1970"})
	}
	if in.kind() == event.Session {
		required("sid", in.SessionID != "")
	} else {
		required("message.method", in.Message.Method != "")
	}
	return problems
}

// kind is tool_invocation for what a client asked of the MCP server. The
// handshake, notifications and the rest of a session are no calls.
func (in *entry) kind() event.Kind {
	if in.Event == "mcp.session.request" && in.Message.Method != "initialize" {
		return event.ToolInvocation
	}
	return event.Session
}

// event is called where problems found none.
func (in *entry) event() *event.Event {
	at, _ := event.ParseTime(in.Time)
	e := &event.Event{
		Kind: in.kind(), Type: in.eventType(), Time: at,
		Source:        event.Source{EventID: in.UID},
		ClientAddress: in.RemoteAddr,
		Attributes:    map[string]string{},
		Correlation:   event.Correlation{SessionID: in.SessionID},
	}
	in.who(e)
	in.server(e)
	in.client(e)
	in.call(e)
	in.headers(e)
	in.outcome(e)
	in.keep(e)
	if len(e.Attributes) == 0 {
		e.Attributes = nil
	}
	return e
}

// eventType names what happened: sessions by the project's names, requests by
// their method, the rest by Teleport's event.
func (in *entry) eventType() string {
	switch {
	case in.Event == "mcp.session.start":
		return event.TypeSessionStarted
	case in.Event == "mcp.session.end" && in.succeeded():
		return event.TypeSessionEnded
	case in.Message.Method != "":
		return methodType(in.Message.Method)
	}
	return typeOr(in.Event, "mcp.session")
}

func methodType(method string) string {
	return typeOr("mcp."+strings.ReplaceAll(method, "/", "."), "mcp.request")
}

// typeOr returns name in lower case if it is fit for event.Type, which a
// client's method may not be.
func typeOr(name, otherwise string) string {
	name = strings.ToLower(name)
	unfit := func(c rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_.-", c) }
	if len(name) > 96 || strings.ContainsFunc(name, unfit) {
		return otherwise
	}
	return name
}

// keep puts Teleport's own facts into the attributes.
func (in *entry) keep(e *event.Event) {
	for name, value := range map[string]string{
		"teleport.event": in.Event, "teleport.code": in.Code, "teleport.cluster": in.ClusterName,
		"teleport.access_requests": strings.Join(in.AccessRequests, ","), "teleport.roles": strings.Join(in.UserRoles, ","),
		"teleport.bot_name": in.BotName, "teleport.bot_instance_id": in.BotInstanceID, "teleport.bot_scope": in.BotScope,
		"teleport.beam_id": in.BeamID, "teleport.mfa_device": in.WithMFA, "teleport.private_key_policy": in.PrivateKeyPolicy,
		"teleport.device_id": in.TrustedDevice.DeviceID,
		"mcp.session.id":     in.MCPSessionID, "mcp.protocol.version": in.ProtocolVersion,
		"teleport.ingress_auth_type": in.IngressAuthType, "teleport.egress_auth_type": in.EgressAuthType,
		"http.request.method": in.Method,
	} {
		if value != "" {
			e.Attributes[name] = value
		}
	}
}
