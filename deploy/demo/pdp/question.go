package pdp

import (
	"github.com/custody-audit/custody/schemas/event"
)

// Question is what the policy is asked: may this token call this tool?
type Question struct {
	// Tenant is set by the engine.
	Tenant string
	// Subject on whose behalf, Actor who acts; no actor for a human's own call.
	Subject, Actor event.Party
	Server         event.Server
	Tool           string
	Token          event.Token
	Correlation    event.Correlation
}

// input is the policy's input document. Its names are those that the collector
// reads from a decision log.
func (q Question) input() map[string]any {
	in := map[string]any{
		"tenant":  q.Tenant,
		"subject": party(q.Subject),
		"server":  present(map[string]any{"id": q.Server.ID, "name": q.Server.Name, "uri": q.Server.URI, "version": q.Server.Version}),
		"tool":    map[string]any{"name": q.Tool},
		"action":  map[string]any{"name": "tools/call"},
		"resource": present(map[string]any{
			"type": "tool", "id": q.Tool,
		}),
		"token": present(map[string]any{
			"ref": q.Token.Ref, "jti": q.Token.JTI, "iss": q.Token.Iss,
			"aud": list(q.Token.Audience), "scope": list(q.Token.Scope),
		}),
		"correlation": present(map[string]any{
			"trace_id": q.Correlation.TraceID, "span_id": q.Correlation.SpanID, "jsonrpc_id": q.Correlation.JSONRPCID,
			"task_id": q.Correlation.TaskID, "transaction_id": q.Correlation.TransactionID,
		}),
	}
	if q.Actor.Sub != "" {
		in["actor"] = party(q.Actor)
	}
	return in
}

func party(p event.Party) map[string]any {
	return present(map[string]any{"iss": p.Iss, "sub": p.Sub, "type": string(p.Type)})
}

// list makes an array that Rego sees as one even when it is empty.
func list(s []string) []any {
	out := make([]any, len(s))
	for i := range s {
		out[i] = s[i]
	}
	return out
}

// present leaves out what is not known.
func present(m map[string]any) map[string]any {
	for k, v := range m {
		if v == "" {
			delete(m, k)
		}
	}
	return m
}
