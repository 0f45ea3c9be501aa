package otlp

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// paths are the dotted names of the event's fields, as in "exchange.granted_scope".
var paths = fieldPaths("", reflect.TypeFor[event.Event](), map[string]reflect.Type{})

func fieldPaths(prefix string, t reflect.Type, to map[string]reflect.Type) map[string]reflect.Type {
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if ft := t.Field(i).Type; ft.Kind() == reflect.Struct {
			fieldPaths(prefix+name+".", ft, to)
		} else {
			to[prefix+name] = ft
		}
	}
	return to
}

// named reads what the record says in the names of the event: a record named
// custody.KIND with or without the prefix "custody.", any other one only with
// it, since OpenTelemetry has a server.address and a client.address too.
func (r *record) named() (*event.Event, error) {
	fields := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(r.attrs.values)) {
		path, prefixed := strings.CutPrefix(name, kindPrefix)
		v := r.attrs.values[name]
		if v == nil || !prefixed && r.name == "" {
			continue
		}
		if t, ok := paths[path]; ok {
			r.attrs.taken[name] = true
			put(fields, strings.Split(path, "."), fieldValue(t, v))
		} else if into, ok := member(path); ok {
			r.attrs.taken[name] = true
			put(fields, into, v)
		}
	}
	if len(fields) == 0 { // the usual case
		e := new(event.Event)
		return e, r.kind(e)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("read attributes: %w", err)
	}
	e, err := event.Decode(b)
	if err != nil {
		return nil, err
	}
	return e, r.kind(e)
}

// member splits the name of a member of one of the event's maps.
func member(path string) (into []string, ok bool) {
	if key, ok := strings.CutPrefix(path, "attributes."); ok {
		return []string{"attributes", key}, true
	}
	if key, ok := strings.CutPrefix(path, "tool.annotations."); ok {
		return []string{"tool", "annotations", key}, true
	}
	return nil, false
}

// put sets a path to a value; the first one given stays.
func put(fields map[string]any, path []string, v any) {
	for ; len(path) > 1; path = path[1:] {
		inner, ok := fields[path[0]].(map[string]any)
		if !ok {
			if fields[path[0]] != nil { // a map given whole
				return
			}
			inner = map[string]any{}
			fields[path[0]] = inner
		}
		fields = inner
	}
	if _, given := fields[path[0]]; !given {
		fields[path[0]] = v
	}
}

// fieldValue brings an attribute to the type of the field where the meaning is
// plain; what it leaves as it is, decoding will judge.
func fieldValue(t reflect.Type, v any) any {
	switch {
	case t == reflect.TypeFor[event.Time]():
		if seconds, ok := asInt(v); ok { // as the claims of a token have it
			return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
		}
	case t.Kind() == reflect.String:
		switch v.(type) {
		case map[string]any, []any:
		default:
			return asText(v)
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return asList(v, " ")
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
		if s, ok := v.(string); ok && json.Valid([]byte(s)) {
			return json.RawMessage(s)
		}
	}
	return v
}

var types = map[event.Kind]string{
	event.TokenExchange: event.TypeTokenExchange, event.ToolInvocation: event.TypeToolCall, event.PermissionDecision: event.TypeDecision,
}

// kind sets kind and type: by the record's name, else it is a tool call.
func (r *record) kind(e *event.Event) error {
	if r.name == "" {
		e.Kind = event.ToolInvocation
		if e.Type == "" {
			e.Type = r.callType()
		}
		return nil
	}
	e.Kind = event.Kind(strings.TrimPrefix(r.name, kindPrefix))
	if !slices.Contains(event.Kinds, e.Kind) {
		return event.Problems{{Field: "kind", Reason: fmt.Sprintf("event name %.80q: want custody. and one of %v", r.name, event.Kinds)}}
	}
	if e.Type == "" {
		e.Type = types[e.Kind]
	}
	return nil
}

// callType tells who saw the call, so that one call seen from both ends does not count twice.
func (r *record) callType() string {
	switch {
	case r.byAgent():
		return "gen_ai.execute_tool"
	case r.caller:
		return event.TypeToolCall + ".client"
	}
	return event.TypeToolCall
}
