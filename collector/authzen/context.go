package authzen

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// circumstances reads from the request's context what identifies and joins,
// under the names of the event and those of the COAZ binding for MCP.
func circumstances(e *event.Event, context map[string]any) {
	actor(e, context)
	server(e, context["server"])
	for _, f := range []struct {
		dst   *string
		names []string
	}{
		{&e.Tool.Name, []string{"tool"}}, {&e.Client.ID, []string{"client_id"}},
		{&e.Correlation.TraceID, []string{"trace_id"}}, {&e.Correlation.SpanID, []string{"span_id"}},
		{&e.Correlation.RequestID, []string{"request_id"}}, {&e.Correlation.JSONRPCID, []string{"jsonrpc_id"}},
		{&e.Correlation.SessionID, []string{"session_id"}}, {&e.Correlation.TaskID, []string{"task_id"}},
		{&e.Correlation.TransactionID, []string{"transaction_id", "txn"}},
	} {
		for _, name := range f.names {
			if s := text(context[name]); s != "" && *f.dst == "" {
				*f.dst = s
			}
		}
	}
	set(e, "mcp.protocol.version", text(context["protocol_version"]))
	if t := e.Correlation.TraceID; t != "" && !isHex(t, 32) {
		e.Correlation.TraceID = ""
		e.Warnings = append(e.Warnings, "context.trace_id is no trace id; left out")
	}
	if s := e.Correlation.SpanID; s != "" && !isHex(s, 16) {
		e.Correlation.SpanID = ""
		e.Warnings = append(e.Warnings, "context.span_id is no span id; left out")
	}
	token(e, context["token"])
}

// actor reads context.actor, an id or an object as the claim act nests it (RFC
// 8693 section 4.1), or context.agent, by which the MCP binding names the agent.
func actor(e *event.Event, context map[string]any) {
	switch given := context["actor"].(type) {
	case string:
		e.Actor = event.Party{Sub: given}
	case map[string]any:
		chain(e, given)
		if len(e.Chain) > 0 {
			e.Actor = event.Party{Iss: e.Chain[0].Iss, Sub: e.Chain[0].Sub, Type: e.Chain[0].Type}
		}
	}
	if agent := text(context["agent"]); agent != "" && e.Actor.Sub == "" {
		e.Actor = event.Party{Sub: agent, Type: event.Agent}
	}
}

func chain(e *event.Event, given map[string]any) {
	raw, err := json.Marshal(given)
	tooLong := err != nil || len(raw) > event.MaxChainRaw
	if !tooLong {
		e.ChainRaw = string(raw)
	}
	for claim := any(given); claim != nil && e.ChainMalformed == "" && !e.ChainTruncated; {
		act, _ := claim.(map[string]any)
		link := event.Link{Iss: text(act["iss"]), Sub: text(act["sub"]), Type: partyType(text(act["type"]))}
		if link.Sub == "" {
			link.Sub = text(act["id"])
		}
		switch {
		case act == nil:
			e.ChainMalformed = fmt.Sprintf("actor at depth %d is no object", len(e.Chain)+1)
		case link.Iss == "" && link.Sub == "":
			e.ChainMalformed = fmt.Sprintf("actor at depth %d names nobody", len(e.Chain)+1)
		case len(e.Chain) == event.MaxChain, len(e.Chain) == 1 && tooLong:
			e.ChainTruncated = true
		default:
			e.Chain = append(e.Chain, link)
		}
		claim = act["act"]
	}
	if e.ChainMalformed != "" || e.ChainTruncated {
		e.Warnings = append(e.Warnings, "context.actor could not be read whole")
	}
}

func server(e *event.Event, given any) {
	switch given := given.(type) {
	case string:
		e.Server.ID = given
	case map[string]any:
		e.Server.ID, e.Server.Name, e.Server.Version = text(given["id"]), text(given["name"]), text(given["version"])
		if uri := text(given["uri"]); uri != "" {
			e.Server.URI = uri
		}
	}
}

// token reads facts of the token presented, never the token.
func token(e *event.Event, given any) {
	if raw, ok := given.(string); ok && raw != "" {
		given = map[string]any{"ref": raw}
	}
	facts, _ := given.(map[string]any)
	e.Token = event.Token{
		Ref: text(facts["ref"]), JTI: text(facts["jti"]), Iss: text(facts["iss"]),
		Audience: collector.CutList(e, "token.audience", list(facts["audience"], facts["aud"]), maxListBytes), Scope: collector.CutList(e, "token.scope", list(facts["scope"]), maxListBytes),
	}
	if e.Token.Ref != "" && !event.ValidRef(e.Token.Ref) {
		e.Token.Ref = event.TokenRef(e.Token.Ref)
		e.Warnings = append(e.Warnings, "context.token held a token; replaced by its reference")
	}
}

// text reads a string or a number.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		b, _ := json.Marshal(v) // a finite number always can
		return string(b)
	}
	return ""
}

// list reads the first that is there: an array of strings, or a text split at spaces.
func list(from ...any) []string {
	for _, v := range from {
		switch v := v.(type) {
		case string:
			return strings.Fields(v)
		case []any:
			var out []string
			for _, item := range v {
				if s := text(item); s != "" {
					out = append(out, s)
				}
			}
			return out
		}
	}
	return nil
}

func set(e *event.Event, name, value string) {
	if value != "" {
		e.Attributes[name] = value
	}
}

func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}
