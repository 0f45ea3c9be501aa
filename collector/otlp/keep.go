package otlp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/custody-audit/custody/schemas/event"
)

const maxKey = 128 // of an attribute, in bytes, as validation has it

// contents are parts of names of attributes that hold what was said, or headers
// of requests. Those are never kept; what else is secret, redaction finds.
var contents = []string{
	"arguments", "result", "message", "prompt", "completion", "instructions", "header", "cookie", "authorization",
	"request.body", "response.body", "request.params", "raw_token", "rawtoken", "access_token", "password", "secret",
}

// keep puts what was not read into the event's attributes, as far as there is room.
func (r *record) keep(e *event.Event) {
	kept, withheld, dropped := map[string]string{}, 0, 0
	maps.Copy(kept, e.Attributes)
	for _, name := range slices.Sorted(maps.Keys(r.attrs.values)) {
		if r.attrs.taken[name] || r.attrs.values[name] == nil {
			continue
		}
		value := asText(r.attrs.values[name])
		switch {
		case isContent(name):
			withheld++
		case name == "" || len(name) > maxKey || len(value) > event.MaxString || len(kept) >= event.MaxAttributes || !utf8.ValidString(name+value):
			dropped++
		default:
			kept[name] = value
		}
	}
	if name := r.resource.text("service.name"); name != "" && name != e.Server.ID && len(kept) < event.MaxAttributes {
		kept["service.name"] = name
	}
	e.Attributes = kept
	if withheld > 0 {
		e.Warnings = append(e.Warnings, fmt.Sprintf("%d attributes hold contents of messages and are not kept", withheld))
	}
	if dropped > 0 {
		e.Warnings = append(e.Warnings, fmt.Sprintf("%d attributes left out: at most %d of at most %d bytes are kept", dropped, event.MaxAttributes, event.MaxString))
	}
}

func isContent(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(contents, func(part string) bool { return strings.Contains(name, part) })
}
