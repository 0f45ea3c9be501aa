package opa

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/custody-audit/custody/collector/redact"
	"github.com/custody-audit/custody/schemas/event"
)

// question reads from the policy's input what was decided upon. Everything is
// optional; what is not understood stays out.
func question(raw json.RawMessage, e *event.Event) {
	var in map[string]any
	if len(raw) == 0 || json.Unmarshal(raw, &in) != nil {
		return
	}
	ctx := object(in["context"])
	e.Subject = party(in["subject"])
	e.Actor = party(first(in, "actor"), ctx["actor"])
	e.Server = server(in["server"], ctx["server"])
	e.Tool.Name = text(in["tool"], "name")
	e.Decision.Action = text(in["action"], "name")
	e.Decision.Resource = text(in["resource"], "id")
	if e.Tool.Name == "" && strings.EqualFold(text(in["resource"], "type"), "tool") {
		e.Tool.Name = e.Decision.Resource
	}
	token := object(first(in, "token"))
	if len(token) == 0 {
		token = object(ctx["token"])
	}
	e.Token = event.Token{
		Ref: text(token["ref"]), JTI: text(token["jti"]), Iss: text(token["iss"]),
		Audience: list(first(token, "audience", "aud")), Scope: list(first(token, "scope", "scopes")),
	}
	switch ref := e.Token.Ref; {
	case strings.Contains(ref, redact.Redacted):
		e.Token.Ref = "" // what is left of a secret is the same for all
		e.Warnings = append(e.Warnings, "input.token.ref held a secret, which was dropped")
	case ref != "" && !event.ValidRef(ref):
		e.Token.Ref = event.TokenRef(e.Token.Ref) // someone logs the token itself
		e.Warnings = append(e.Warnings, "input.token.ref held a token; replaced by its reference")
	}
	correlation(e, object(in["correlation"]), ctx)
}

func correlation(e *event.Event, from ...map[string]any) {
	c := &e.Correlation
	for _, m := range from {
		for _, f := range []struct {
			dst   *string
			names []string
		}{
			{&c.TraceID, []string{"trace_id"}}, {&c.SpanID, []string{"span_id"}}, {&c.ParentSpanID, []string{"parent_span_id"}},
			{&c.RequestID, []string{"request_id"}}, {&c.JSONRPCID, []string{"jsonrpc_id"}}, {&c.SessionID, []string{"session_id"}},
			{&c.TaskID, []string{"task_id"}}, {&c.TransactionID, []string{"transaction_id", "txn"}},
		} {
			if *f.dst == "" {
				*f.dst = text(first(m, f.names...))
			}
		}
	}
}

// party reads a principal given as text, as {iss, sub} or as AuthZEN's {type, id}.
func party(from ...any) event.Party {
	for _, v := range from {
		switch v := v.(type) {
		case string:
			return event.Party{Sub: v}
		case map[string]any:
			p := event.Party{Iss: text(v["iss"]), Sub: text(first(v, "sub", "id")), Name: text(v["name"])}
			switch t := event.PartyType(strings.ToLower(text(v["type"]))); t {
			case event.Human, event.Agent, event.Workload, event.Service, event.MCP:
				p.Type = t
			case "user":
				p.Type = event.Human
			}
			return p
		}
	}
	return event.Party{}
}

func server(from ...any) event.Server {
	for _, v := range from {
		switch v := v.(type) {
		case string:
			return event.Server{ID: v}
		case map[string]any:
			return event.Server{ID: text(v["id"]), Name: text(v["name"]), URI: text(v["uri"]), Version: text(v["version"])}
		}
	}
	return event.Server{}
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

func first(m map[string]any, names ...string) any {
	for _, n := range names {
		if v, ok := m[n]; ok && v != nil {
			return v
		}
	}
	return nil
}

// text reads a string or number, or the named member of an object.
func text(v any, member ...string) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return fmt.Sprint(v)
	case map[string]any:
		if len(member) > 0 {
			return text(first(v, member...))
		}
	}
	return ""
}

// list reads an array of strings or a text split at spaces.
func list(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
