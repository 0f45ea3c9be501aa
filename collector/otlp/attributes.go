package otlp

import (
	"encoding/json"
	"slices"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
)

// attributes are those of one record. They remember which were read, so that
// the others can be kept as they are.
type attributes struct {
	values map[string]any
	taken  map[string]bool
}

func newAttributes(kvs []*common.KeyValue) *attributes {
	a := &attributes{values: plainMap(kvs), taken: map[string]bool{}}
	a.flatten("jwt")
	return a
}

// flatten spreads one compound attribute: a gateway may log all claims of a token at once.
func (a *attributes) flatten(name string) {
	var members map[string]any
	switch v := a.values[name].(type) {
	case map[string]any:
		members = v
	case string:
		if !strings.HasPrefix(v, "{") || json.Unmarshal([]byte(v), &members) != nil {
			return
		}
	}
	for k, v := range members {
		if _, given := a.values[name+"."+k]; !given {
			a.values[name+"."+k] = v
		}
	}
	if members != nil {
		delete(a.values, name)
	}
}

// take returns the first of the named attributes that has a value; nil when none has.
func (a *attributes) take(names ...string) any {
	for _, name := range names {
		if v, ok := a.values[name]; ok && v != nil && v != "" {
			a.taken[name] = true
			return v
		}
	}
	return nil
}

// has says whether one of the named attributes has a value.
func (a *attributes) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return asText(a.values[name]) != "" })
}

func (a *attributes) text(names ...string) string { return asText(a.take(names...)) }

func (a *attributes) int(names ...string) (int64, bool) { return asInt(a.take(names...)) }

// fill sets a field that is empty from the first of the named attributes.
func (a *attributes) fill(field *string, names ...string) {
	if *field == "" {
		*field = a.text(names...)
	}
}

// claims says whether there is any claim of a token.
func (a *attributes) claims() bool {
	for name := range a.values {
		if strings.HasPrefix(name, "jwt.") {
			return true
		}
	}
	return false
}
