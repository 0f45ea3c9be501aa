package envoyai

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// line is one line of the access log. The keys are the operator's; these are
// those of the gateway's examples, and the ones that docs/sources/envoyai.md adds.
type line struct {
	Method         value `json:"mcp.method.name"`
	Tool           value `json:"mcp.tool.name"`
	ResourceURI    value `json:"mcp.resource.uri"`
	Provider       value `json:"mcp.provider.name"`
	Route          value `json:"mcp.route"`
	JSONRPCID      value `json:"jsonrpc.request.id"`
	SessionID      value `json:"mcp.session.id"`
	GatewaySession value `json:"session.id"`
	Model          value `json:"gen_ai.request.model"`

	StartTime        value `json:"start_time"`
	ResponseCode     value `json:"response_code"`
	CodeDetails      value `json:"response_code_details"`
	Flags            value `json:"response_flags"`
	TransportFailure value `json:"upstream_transport_failure_reason"`
	Duration         value `json:"duration"` // in milliseconds
	Received         value `json:"bytes_received"`
	Sent             value `json:"bytes_sent"`
	RequestPath      value `json:"request.path"`
	OriginPath       value `json:"x-envoy-origin-path"`
	ForwardedFor     value `json:"x-forwarded-for"`
	Downstream       value `json:"downstream_remote_address"`
	UserAgent        value `json:"user-agent"`
	RequestID        value `json:"x-request-id"`
	UpstreamHost     value `json:"upstream_host"`
	UpstreamCluster  value `json:"upstream_cluster"`
	Traceparent      value `json:"traceparent"`

	Iss         value `json:"jwt.iss"`
	Sub         value `json:"jwt.sub"`
	Act         value `json:"jwt.act"`
	ClientID    value `json:"jwt.client_id"`
	Azp         value `json:"jwt.azp"`
	JTI         value `json:"jwt.jti"`
	Audience    value `json:"jwt.aud"`
	Scope       value `json:"jwt.scope"`
	IssuedAt    value `json:"jwt.iat"`
	ExpiresAt   value `json:"jwt.exp"`
	TokenSHA256 value `json:"token.sha256"`
	Peer        value `json:"src.identity"`
}

// value is a member as logged: Envoy writes null, or "-" in a text, for what a
// request has not, and numbers as numbers or as texts.
type value json.RawMessage

// UnmarshalJSON keeps a copy.
func (v *value) UnmarshalJSON(b []byte) error {
	*v = append((*v)[:0], b...)
	return nil
}

// text is a string or number; empty for everything else.
func (v value) text() string {
	s, _ := v.scalar()
	return s
}

// scalar is text; not ok for an object, an array or a boolean.
func (v value) scalar() (text string, ok bool) {
	if len(v) == 0 || string(v) == "null" {
		return "", true
	}
	if v[0] == '"' {
		ok = json.Unmarshal(v, &text) == nil
		if text == "-" {
			text = ""
		}
		return text, ok
	}
	if v[0] == '-' || v[0] >= '0' && v[0] <= '9' {
		return string(v), true
	}
	return "", false
}

// int is a number that an event can hold.
func (v value) int() (n int64, ok bool) {
	n, err := strconv.ParseInt(v.text(), 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0, false
	}
	return n, true
}

// texts is a JSON array of texts, or a text that holds one (a header that
// claimToHeaders made), or a text split at spaces.
func (v value) texts() []string {
	var list []string
	if json.Unmarshal(v, &list) == nil {
		return list
	}
	text := v.text()
	if decoded := unheader(text); json.Unmarshal(decoded, &list) == nil {
		return list
	}
	return strings.Fields(text)
}

// client is the caller's address: what the listener saw, or, behind the MCP
// proxy of the same pod, the last address that was forwarded.
func (in *line) client() string {
	seen := in.Downstream.text()
	if at, err := netip.ParseAddrPort(seen); err != nil || !at.Addr().IsLoopback() {
		if seen != "" && !strings.HasPrefix(seen, "envoy://") {
			return seen
		}
	}
	hops := strings.Split(in.ForwardedFor.text(), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		if at, err := netip.ParseAddr(strings.TrimSpace(hops[i])); err == nil && !at.IsLoopback() {
			return at.String()
		}
	}
	return ""
}

var traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}`)

func (in *line) trace(e *event.Event) {
	if m := traceparent.FindStringSubmatch(in.Traceparent.text()); m != nil {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = m[1], m[2]
	}
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
