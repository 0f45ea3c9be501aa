package otlp

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// place fills the server: who was called. A gateway names the target behind it;
// else a server's own telemetry tells of its service, a caller's of an address.
func (r *record) place(e *event.Event) {
	if s := &e.Server; s.ID == "" {
		s.ID = r.attrs.text("mcp.target", "mcp.server.name", "mcp.provider.name")
		switch {
		case s.ID != "":
		case r.caller:
			s.ID = r.attrs.text("server.address")
		case e.Kind != event.ToolInvocation: // who decides or issues is not where the call goes
		default:
			s.ID = r.resource.text("service.name")
			if s.Name == "" {
				s.Name = s.ID
			}
			if s.Version == "" {
				s.Version = r.resource.text("service.version")
			}
		}
	}
	if e.ClientAddress == "" {
		e.ClientAddress = r.attrs.text("client.address", "src.addr")
		if port, ok := r.attrs.int("client.port"); ok && e.ClientAddress != "" {
			e.ClientAddress = net.JoinHostPort(e.ClientAddress, strconv.FormatInt(port, 10))
		}
	}
	r.attrs.fill(&e.UserAgent, "user_agent.original")
}

func (r *record) tool(e *event.Event) {
	t := &e.Tool
	r.attrs.fill(&t.Name, "gen_ai.tool.name", "mcp.tool.name")
	r.attrs.fill(&t.ServerMethod, keyMethod, keyMethodOld)
	r.attrs.take(keyOperation) // the event's type says it
	r.attrs.fill(&t.CallID, "gen_ai.tool.call.id")
	if t.Name == "" && t.ServerMethod != "" {
		if name, ok := strings.CutPrefix(r.span, t.ServerMethod+" "); ok {
			t.Name = name // a span is named "tools/call NAME"
		}
	}
	if e.Kind != event.ToolInvocation {
		return
	}
	r.arguments(e)
	if result := r.attrs.take("gen_ai.tool.call.result"); result != nil && t.ResponseBytes == 0 {
		t.ResponseBytes = int64(len(jsonText(result)))
	}
	if ms, ok := r.duration(); ok && t.DurationMS == 0 {
		t.DurationMS = ms
	}
}

// duration is in milliseconds: the span's, else what a gateway logged, as "12ms" or as a number.
func (r *record) duration() (int64, bool) {
	if r.lasted >= 0 {
		return r.lasted, true
	}
	switch v := r.attrs.take("duration").(type) {
	case string:
		d, err := time.ParseDuration(v)
		return d.Milliseconds(), err == nil && d >= 0
	case int64:
		return v, v >= 0
	case float64:
		return int64(v), v >= 0 && v < 1e15
	}
	return 0, false
}

// jsonText is the JSON of a compound value; text is taken for JSON already.
func jsonText(v any) []byte {
	if s, ok := v.(string); ok {
		return []byte(s)
	}
	b, err := json.Marshal(v)
	if err != nil { // no plain value is unmarshalable
		return nil
	}
	return b
}
