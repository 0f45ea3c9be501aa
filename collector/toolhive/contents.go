package toolhive

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/custody-audit/custody/collector/message"
	"github.com/custody-audit/custody/schemas/event"
)

// contents reads what the operator lets ToolHive record of request and response:
// the JSON-RPC id, the arguments' names, size and hash, and whether the tool
// said that it failed. No value is kept.
func (r *record) contents(e *event.Event) {
	data, _ := r.Data.(map[string]any)
	request, _ := data["request"].(map[string]any)
	e.Correlation.JSONRPCID = text(request["id"])
	params, _ := request["params"].(map[string]any)
	if arguments, ok := params["arguments"].(map[string]any); ok {
		e.Tool.ArgumentsHash = hash(arguments)
		e.Tool.ArgumentNames = slices.Sorted(maps.Keys(arguments))
	}
	if b, err := json.Marshal(params); err == nil && params != nil {
		e.Tool.RequestBytes = int64(len(b))
	}
	response, _ := data["response"].(map[string]any)
	result, _ := response["result"].(map[string]any)
	if failed, _ := result["isError"].(bool); failed && e.Outcome == event.Success {
		e.Outcome, e.Tool.ResultStatus = event.Failure, "tool_error"
	}
}

// hash is that of the RFC 8785 bytes; empty where a number has none.
func hash(arguments map[string]any) string {
	b, err := json.Marshal(arguments)
	if err != nil { // what was decoded can be encoded
		return ""
	}
	h, err := message.HashArguments(b)
	if err != nil {
		return ""
	}
	return h
}

// text is a string or a number as text; empty for anything else.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// whole is a count; zero for what is none.
func whole(v any) int64 {
	if f, ok := v.(float64); ok && f >= 0 && f <= 1<<53 && f == math.Trunc(f) {
		return int64(f)
	}
	return 0
}
