package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// Ways to forge or malform one event: a field of a good event is set to what it
// must not be, and the answer names the field. A good event in the same batch is
// taken each time.
func TestForgedEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sources, keys := estateSources(t)
	address := freeAddress(t)
	start(t, "takes events at", "run", "--data-dir", dir, "--collector-sources", sources, "--collector-http", address, "--collector-grpc", "127.0.0.1:0", "--telemetry-address", "")
	long := strings.Repeat("x", 3000)
	many := func(n int) (list []any) {
		for i := range n {
			list = append(list, fmt.Sprint(i))
		}
		return list
	}
	deep := any("x")
	for range 100 {
		deep = []any{deep}
	}
	taken := 0
	for _, c := range []struct {
		field  string
		value  any
		status int
		want   string // in the answer; empty is the field
	}{
		// who it claims to be of
		{"tenant", "globex", 403, ""},
		{"tenant", "ACME", 403, ""},
		{"tenant", "acme ", 403, ""},
		{"tenant", "acme\u0000", 403, ""},
		{"source.id", "acme-opa", 403, ""},
		{"source.id", "custody", 403, ""},
		{"tenant", 7, 200, ""},
		{"source", "acme-sts", 200, ""},
		// envelope
		{"schema_version", "one", 200, ""},
		{"schema_version", "2.0", 200, ""},
		{"schema_version", "1.x", 200, ""},
		{"schema_version", "0.9", 200, ""},
		{"kind", "tool", 200, ""},
		{"kind", "", 200, ""},
		{"kind", nil, 200, ""},
		{"type", "Task Start", 200, ""},
		{"time", "yesterday", 200, ""},
		{"time", "2026-13-01T00:00:00Z", 200, ""},
		{"time", 1764000000, 200, ""},
		{"time", nil, 200, ""},
		{"time", "1969-12-31T23:59:59Z", 200, ""},
		{"outcome", "ok", 200, ""},
		{"outcome", nil, 200, ""},
		{"source.sequence", -1, 200, ""},
		{"source.sequence", "7", 200, ""},
		{"source.sequence", 1.5, 200, ""},
		{"source.sequence", 1e300, 200, ""},
		// who
		{"subject", "alice", 200, ""},
		{"subject.type", "robot", 200, ""},
		{"subject.colour", "red", 200, "unknown field"},
		{"actor.type", "HUMAN", 200, ""},
		{"chain", many(3), 200, ""},
		{"chain", []any{map[string]any{}}, 200, ""},
		{"chain", "planner", 200, ""},
		{"chain_rule", "mine", 200, ""},
		{"chain_raw", "{", 200, ""},
		{"client.verified", "yes", 200, ""},
		// tokens
		{"token.ref", "the-token-itself", 200, ""},
		{"token.ref", "sha256:short", 200, ""},
		{"token.ref", "md5:" + strings.Repeat("A", 43), 200, ""},
		{"token.verified", "trust me", 200, ""},
		{"token.verified", "failed:", 200, ""},
		{"token.scope", "repo:read", 200, ""},
		{"token.scope", []any{1}, 200, ""},
		{"token.expires_at", "soon", 200, ""},
		{"exchange.subject_token_ref", "raw", 200, ""},
		{"exchange.expires_in", -5, 200, ""},
		// tools, decisions, correlation
		{"tool.arguments_hash", "abc", 200, ""},
		{"tool.arguments", "{not json", 200, ""},
		{"tool.result_status", "fine", 200, ""},
		{"tool.duration_ms", "12", 200, ""},
		{"tool.annotations", map[string]any{"readOnlyHint": "true"}, 200, ""},
		{"decision.effect", "maybe", 200, ""},
		{"correlation.trace_id", "xyz", 200, ""},
		{"correlation.trace_id", strings.Repeat("A", 32), 200, ""},
		{"correlation.span_id", "1", 200, ""},
		{"correlation.task_id", 7, 200, ""},
		// shape and size
		{"attributes", many(2), 200, ""},
		{"attributes", map[string]any{"a": map[string]any{"b": "c"}}, 200, ""},
		{"attributes", map[string]any{"a": deep}, 200, "nested deeper"},
		{"warnings", long, 200, ""},
		{"__proto__", map[string]any{"tenant": "globex"}, 200, "unknown field"},
		{"Tenant", "globex", 200, "unknown field"},
		{"user_agent", long, 200, ""},
		{"attributes", map[string]any{"": "x"}, 200, ""},
	} {
		forged := good(taken)
		set(forged, c.field, c.value)
		taken++
		fine := good(taken)
		taken++
		body, err := json.Marshal([]any{forged, fine})
		if err != nil {
			t.Fatal(err)
		}
		status, answer := post(t, "http://"+address+"/v1/events", keys["acme-sts"], "application/json", "", string(body))
		want := c.want
		if want == "" {
			want = c.field
		}
		if status != c.status || !strings.Contains(answer, want) || !strings.Contains(answer, `"accepted":1,`) || !strings.Contains(answer, `"index":0`) {
			t.Errorf("%s = %.60v: %d %.300s; want %d, the field, and the other event taken", c.field, c.value, status, answer, c.status)
			continue
		}
		_, reason, _ := strings.Cut(answer, `"problems":`)
		t.Logf("%-28s %-24.24s %d %.140s", c.field, strings.ReplaceAll(fmt.Sprint(c.value), "\x00", "\\0"), status, strings.TrimSuffix(strings.TrimSpace(reason), "}]}"))
	}
	// Of each batch the good event, and of the six claims one record each.
	if states := countStates(t, dir, taken/2+6); int(states["stored"]) != taken/2+6 || len(states) != 1 {
		t.Errorf("stored %v, want %d", states, taken/2+6)
	}
}

// good is an event without a fault.
func good(n int) map[string]any {
	return map[string]any{
		"kind": "session", "type": "task.start", "time": "2026-11-24T10:00:00Z", "outcome": "success", "subject": map[string]any{"sub": "alice", "type": "human"},
		"correlation": map[string]any{"task_id": "t"}, "source": map[string]any{"event_id": fmt.Sprintf("f-%d", n)},
	}
}

// set puts a value at a path of an object; what is on the way is made.
func set(object map[string]any, path string, value any) {
	name, rest, nested := strings.Cut(path, ".")
	if !nested {
		object[name] = value
		return
	}
	inner, _ := object[name].(map[string]any)
	inner = maps.Clone(inner)
	if inner == nil {
		inner = map[string]any{}
	}
	object[name] = inner
	set(inner, rest, value)
}
