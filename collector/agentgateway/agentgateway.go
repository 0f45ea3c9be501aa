// Package agentgateway takes the JSON access log of agentgateway: what the
// gateway in front of MCP servers saw of each request.
//
// A request of the Model Context Protocol that uses what a server offers (a tool
// call, a list, a resource, a prompt) becomes a tool_invocation. A request that
// the gateway refused becomes a permission_decision too, marked as inferred: the
// log tells of requests, not of decisions, and nothing of what was allowed. The
// gateway hides the denial of a tool behind "Unknown tool"; it is recognised by
// that text together with the reason MCP, which only answers of the gateway's
// own have. Everything else that the gateway serves, and its own messages, are
// ignored.
//
// By itself the log names no more of the caller than the claim sub. What the
// token says (jwt.iss, jwt.act, jwt.jti, jwt.aud, jwt.scope, jwt.exp, the whole
// jwt) and its hash (token.sha256) are there when the operator adds them by CEL;
// docs/sources/agentgateway.md has the snippet. The same log by OTLP goes to
// package collector/otlp.
//
// It follows agentgateway v1.4: crates/agentgateway/src/telemetry/log.rs names
// the fields, crates/agentgateway/src/proxy/mod.rs the reasons.
package agentgateway

import (
	"encoding/json"
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// Type is the source type.
const Type = "agentgateway"

// scope is that of access log entries; the gateway's messages have others.
const scope = "request"

// entry is one line of the access log. Texts are those that the gateway writes;
// what an operator adds may be of any type.
type entry struct {
	Scope    string `json:"scope"`
	Time     string `json:"time"`
	Gateway  string `json:"gateway"`
	Listener string `json:"listener"`
	Route    string `json:"route"`
	Endpoint string `json:"endpoint"`

	SourceAddress  string `json:"src.addr"`
	SourceIdentity string `json:"src.identity"`
	UserAgent      string `json:"user_agent.original"`

	HTTPMethod string `json:"http.method"`
	HTTPPath   string `json:"http.path"`
	HTTPStatus int64  `json:"http.status"`

	TraceID string `json:"trace.id"`
	SpanID  string `json:"span.id"`

	Method       string `json:"mcp.method.name"`
	Target       string `json:"mcp.target"`
	ResourceURI  string `json:"mcp.resource.uri"`
	Tool         string `json:"gen_ai.tool.name"`
	Prompt       string `json:"gen_ai.prompt.name"`
	Session      string `json:"mcp.session.id"`
	ErrorCode    any    `json:"mcp.error.code"`
	ErrorMessage string `json:"mcp.error.message"`

	Error    string `json:"error"`
	Reason   string `json:"reason"`
	Duration any    `json:"duration"`

	TokenHash  string         `json:"token.sha256"`
	JWT        map[string]any `json:"jwt"`
	Subject    any            `json:"jwt.sub"`
	Issuer     any            `json:"jwt.iss"`
	Act        any            `json:"jwt.act"`
	TokenID    any            `json:"jwt.jti"`
	Audience   any            `json:"jwt.aud"`
	Scopes     any            `json:"jwt.scope"`
	ScopeList  any            `json:"jwt.scp"`
	IssuedAt   any            `json:"jwt.iat"`
	NotBefore  any            `json:"jwt.nbf"`
	ExpiresAt  any            `json:"jwt.exp"`
	ClientID   any            `json:"jwt.client_id"`
	Authorized any            `json:"jwt.azp"`
	TxnID      any            `json:"jwt.txn"`
}

// Parse is a [collector.Parse]: it turns one entry of the access log into the
// call it tells of, and the decision when the gateway refused it.
func Parse(raw []byte) ([]*event.Event, error) {
	var in entry
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("not an access log entry: %w", err)
	}
	if in.Scope == "" {
		return nil, event.Problems{{Field: "scope", Reason: `is required; want a line of the gateway's JSON log`}}
	}
	if in.Scope != scope {
		return nil, nil
	}
	at, err := parseTime(in.Time)
	if err != nil {
		return nil, event.Problems{{Field: "time", Reason: err.Error()}}
	}
	in.spread()
	events := in.events()
	for _, e := range events {
		e.Time = at
		in.describe(e)
		e.Fit()
	}
	return events, nil
}

// events returns what the entry states, the call before its decision.
func (in *entry) events() []*event.Event {
	var events []*event.Event
	denied := in.refusal()
	if name, ok := calls[in.Method]; ok {
		events = append(events, in.call(name, denied))
	} else if in.Method == "initialize" && in.Session != "" && in.HTTPStatus < 400 {
		events = append(events, &event.Event{Kind: event.Session, Type: event.TypeSessionStarted, Outcome: event.Success})
	}
	if denied != nil {
		events = append(events, in.decision(denied))
	}
	return events
}
