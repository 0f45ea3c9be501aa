package kong

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"

	"github.com/gowebpki/jcs"

	"github.com/custody-audit/custody/schemas/event"
)

// arguments keeps of the arguments their hash, names and size; only where the
// operator logs payloads are there any.
func (r *rpc) arguments(e *event.Event) {
	var call struct {
		Params *struct {
			Arguments json.RawMessage `json:"arguments"`
		} `json:"params"`
	}
	if r.Payload.Request == "" || json.Unmarshal([]byte(r.Payload.Request), &call) != nil || call.Params == nil {
		return
	}
	given := call.Params.Arguments
	var members map[string]json.RawMessage
	if len(given) == 0 || json.Unmarshal(given, &members) != nil || members == nil {
		return
	}
	canonical, err := jcs.Transform(given)
	if err != nil {
		e.Warnings = append(e.Warnings, "arguments have no canonical form: tool.arguments_hash is left out")
		return
	}
	hash := sha256.Sum256(canonical)
	e.Tool.ArgumentsHash = "sha256:" + base64.RawURLEncoding.EncodeToString(hash[:])
	e.Tool.ArgumentNames = slices.Sorted(maps.Keys(members))
	e.Tool.RequestBytes = int64(len(given))
}
