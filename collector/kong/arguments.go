package kong

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/custody-audit/custody/collector/message"
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
	hash, err := message.HashArguments(given)
	if err != nil {
		e.Warnings = append(e.Warnings, "arguments have no canonical form: tool.arguments_hash is left out")
		return
	}
	e.Tool.ArgumentsHash = hash
	e.Tool.ArgumentNames = slices.Sorted(maps.Keys(members))
	e.Tool.RequestBytes = int64(len(given))
}
