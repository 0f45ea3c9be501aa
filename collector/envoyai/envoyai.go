// Package envoyai reads the JSON access log of Envoy AI Gateway: one line for
// each request that its MCP proxy sends to a backend, with what the gateway put
// into the filter metadata io.envoy.ai_gateway (method, tool, backend, JSON-RPC id).
//
// It stands between the transport (custody tail, POST /v1/push/envoyai) and the
// gateway, as a plain function. A line of a tools, resources or prompts method
// becomes one tool_invocation. A line of a session that was answered 401 or 403
// without a method is what the front listener logs when the proxy refused:
// that becomes a permission_decision marked as inferred. Other lines, those of
// LLM traffic among them, state no identity fact.
//
// It follows the format of the project's examples and access-log page (August
// 2026). The operator chooses the keys of an access log: docs/sources/envoyai.md
// has the ones read here, with the jwt.* keys by which the log tells who called;
// the project's own examples log no identity at all. It cannot know whether a
// call failed inside an HTTP 200, and keeps no argument: the log has none.
package envoyai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "envoyai"

// Parse is a [collector.Parse]: one line of the access log becomes at most one event.
func Parse(record []byte) ([]*event.Event, error) {
	var in line
	if err := json.Unmarshal(record, &in); err != nil {
		return nil, fmt.Errorf("not a line of an Envoy JSON access log: %w", err)
	}
	method, ok := in.Method.scalar()
	if !ok {
		return nil, event.Problems{{Field: "mcp.method.name", Reason: "want a text"}}
	}
	refused := method == "" && in.refused()
	if !refused && !uses(method) {
		return nil, nil
	}
	at, err := event.ParseTime(in.StartTime.text())
	if err != nil || at == 0 {
		return nil, event.Problems{{Field: "start_time", Reason: "want an RFC 3339 time, as %START_TIME% gives"}}
	}
	e := in.common(at)
	if refused {
		in.decision(e)
	} else {
		in.call(method, e)
	}
	in.identity(e)
	e.Fit()
	return []*event.Event{e}, nil
}

// uses says whether a method uses or lists something of the server.
func uses(method string) bool {
	family, _, _ := strings.Cut(method, "/")
	return family == "tools" || family == "resources" || family == "prompts"
}

// refused recognises an MCP request that never reached a backend: it has the
// session header, and the answer of the proxy's authorization or of jwt_authn.
func (in *line) refused() bool {
	code, _ := in.ResponseCode.int()
	return in.SessionID.text() != "" && in.Model.text() == "" && (code == http.StatusUnauthorized || code == http.StatusForbidden)
}

// common is what both kinds of event share.
func (in *line) common(at event.Time) *event.Event {
	e := &event.Event{
		Time:          at,
		Source:        event.Source{EventID: in.id()},
		Server:        event.Server{ID: in.Provider.text()},
		Upstream:      first(in.UpstreamHost.text(), in.UpstreamCluster.text()),
		ClientAddress: in.client(),
		UserAgent:     in.UserAgent.text(),
		Correlation: event.Correlation{
			RequestID: in.RequestID.text(), JSONRPCID: in.JSONRPCID.text(), SessionID: in.SessionID.text(),
		},
	}
	in.trace(e)
	for _, a := range []struct {
		name string
		v    value
	}{
		{"session.id", in.GatewaySession}, {"mcp.resource.uri", in.ResourceURI}, {"mcp.route", in.Route}, {"response_flags", in.Flags},
		{"response_code_details", in.CodeDetails}, {"upstream_transport_failure_reason", in.TransportFailure},
	} {
		if text := a.v.text(); text != "" {
			if e.Attributes == nil {
				e.Attributes = map[string]string{}
			}
			e.Attributes[a.name] = text
		}
	}
	return e
}

// id is made of what tells one backend request from another. A caller can choose
// the request id, so the time is part of it.
func (in *line) id() string {
	request := in.RequestID.text()
	if request == "" {
		return ""
	}
	return strings.Join([]string{request, in.Provider.text(), in.JSONRPCID.text(), in.StartTime.text()}, "/")
}

// call fills a tool_invocation.
func (in *line) call(method string, e *event.Event) {
	e.Kind, e.Type = event.ToolInvocation, message.TypeOf(method)
	e.Tool = event.Tool{Name: in.Tool.text(), ServerMethod: method}
	e.Tool.DurationMS, _ = in.Duration.int()
	e.Tool.RequestBytes, _ = in.Received.int()
	e.Tool.ResponseBytes, _ = in.Sent.int()
	code, known := in.ResponseCode.int()
	e.Outcome = event.Success
	switch {
	case !known:
		e.Outcome = event.Error
		e.Warnings = append(e.Warnings, "response_code is not logged: the outcome is not known")
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		e.Outcome = event.Denied
	case code < http.StatusOK || code >= http.StatusBadRequest: // 0: no answer came
		e.Outcome = event.Error
	}
	if known && e.Outcome != event.Success {
		e.Tool.ResultStatus, e.Tool.ErrorCode = "rpc_error", strconv.FormatInt(code, 10)
	}
}

// decision fills a permission_decision that the status alone tells of.
func (in *line) decision(e *event.Event) {
	code, _ := in.ResponseCode.int()
	e.Kind, e.Type, e.Outcome = event.PermissionDecision, event.TypeDecision, event.Denied
	e.Decision = event.Decision{
		Effect: event.Deny, Engine: "envoy-ai-gateway", Inferred: true,
		Reason: "HTTP " + strconv.FormatInt(code, 10), Resource: path(first(in.OriginPath.text(), in.RequestPath.text())),
	}
	e.Warnings = append(e.Warnings, "decision inferred from the status: the log does not say which method or tool was refused")
}

// path cuts the query, where a key may stand.
func path(target string) string {
	p, _, _ := strings.Cut(target, "?")
	return p
}
