package teleport

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gowebpki/jcs"

	"github.com/custody-audit/custody/collector"
	"github.com/custody-audit/custody/schemas/event"
)

// params are the members of JSON-RPC params that say what was asked for, each
// for itself: a client may send anything.
type params map[string]json.RawMessage

// call fills what was asked of the MCP server. Names are kept, values are not.
func (in *entry) call(e *event.Event) {
	if in.Message.Method == "" {
		return
	}
	e.Correlation.JSONRPCID = rpcID(in.Message.ID)
	var p params
	if len(in.Message.Params) > 0 && json.Unmarshal(in.Message.Params, &p) != nil {
		e.Warnings = append(e.Warnings, "message.params is no object")
	}
	p.meta(e)
	if in.kind() != event.ToolInvocation {
		p.clientInfo("clientInfo", e)
		return
	}
	e.Tool.ServerMethod = in.Message.Method
	switch in.Message.Method {
	case "tools/call":
		e.Tool.Name = p.text("name")
		p.arguments(e)
		if e.Tool.Name == "" {
			e.Warnings = append(e.Warnings, "no tool name in message.params")
		}
	case "prompts/get":
		set(e.Attributes, "mcp.prompt.name", p.text("name"))
	default:
		set(e.Attributes, "mcp.resource.uri", bareURI(p.text("uri")))
	}
}

// arguments keeps their hash and names. Teleport decodes and encodes params
// once; RFC 8785 undoes that.
func (p params) arguments(e *event.Event) {
	raw := p["arguments"]
	if len(raw) == 0 || string(raw) == "null" {
		return
	}
	var members map[string]json.RawMessage
	canonical, err := jcs.Transform(raw)
	if err != nil || json.Unmarshal(raw, &members) != nil {
		e.Warnings = append(e.Warnings, "arguments are no object; left out")
		return
	}
	sum := sha256.Sum256(canonical)
	e.Tool.ArgumentsHash = "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
	e.Tool.ArgumentNames = collector.CutList(e, "tool.argument_names", slices.Sorted(maps.Keys(members)), maxListBytes)
}

// meta reads what MCP clients since 2026-07-28 send in _meta: who they say they
// are, and the trace of the caller.
func (p params) meta(e *event.Event) {
	var meta params
	if json.Unmarshal(p["_meta"], &meta) != nil {
		return
	}
	meta.clientInfo("io.modelcontextprotocol/clientInfo", e)
	set(e.Attributes, "mcp.protocol.version", meta.text("io.modelcontextprotocol/protocolVersion"))
	trace(e, meta.text("traceparent"))
}

func (p params) clientInfo(member string, e *event.Event) {
	var info struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	if json.Unmarshal(p[member], &info) == nil && info.Name != "" {
		e.Client.Name, e.Client.Version = info.Name, info.Version
	}
}

func (p params) text(member string) string {
	var s string
	if json.Unmarshal(p[member], &s) != nil {
		return ""
	}
	return s
}

func set(attributes map[string]string, name, value string) {
	if value != "" {
		attributes[name] = value
	}
}

// rpcID reads a JSON-RPC id. Teleport writes its type before it: "int64:3".
func rpcID(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		var n json.Number
		if json.Unmarshal(raw, &n) == nil {
			return n.String()
		}
		return ""
	}
	if s == "<nil>" {
		return ""
	}
	for _, prefix := range []string{"string:", "int64:", "float64:", "unknown:"} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest
		}
	}
	return s
}

// trace reads a W3C traceparent, "00-TRACE-PARENT-FLAGS": what the caller's span is.
func trace(e *event.Event, traceparent string) {
	part := strings.Split(traceparent, "-")
	if len(part) < 4 || e.Correlation.TraceID != "" {
		return
	}
	if isHex(part[1], 32) && isHex(part[2], 16) {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = part[1], part[2]
	}
}

func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}
