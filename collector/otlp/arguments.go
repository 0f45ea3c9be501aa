package otlp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"

	"github.com/gowebpki/jcs"

	"github.com/custody-audit/custody/schemas/event"
)

// arguments keeps of the arguments their hash, names and size.
func (r *record) arguments(e *event.Event) {
	v := r.attrs.take("gen_ai.tool.call.arguments", "mcp.tool.arguments")
	if v == nil || e.Tool.ArgumentsHash != "" {
		return
	}
	given := jsonText(v)
	canonical, names, ok := canonicalArguments(given)
	if !ok {
		canonical = given
		e.Warnings = append(e.Warnings, "arguments are not JSON: tool.arguments_hash is of the text as it came")
	}
	hash := sha256.Sum256(canonical)
	e.Tool.ArgumentsHash = "sha256:" + base64.RawURLEncoding.EncodeToString(hash[:])
	e.Tool.RequestBytes = int64(len(given))
	if len(names) > event.MaxList {
		e.Warnings = append(e.Warnings, "tool.argument_names is cut")
		names = names[:event.MaxList]
	}
	e.Tool.ArgumentNames = names
}

// canonicalArguments returns the RFC 8785 bytes and the sorted names.
func canonicalArguments(b []byte) (canonical []byte, names []string, ok bool) {
	var members map[string]json.RawMessage
	// encoding/json goes first because it bounds the depth.
	if json.Unmarshal(b, &members) != nil {
		return nil, nil, false
	}
	canonical, err := jcs.Transform(b)
	if err != nil {
		return nil, nil, false
	}
	return canonical, slices.Sorted(maps.Keys(members)), true
}
