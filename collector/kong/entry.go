package kong

import (
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// entry is one record of a log plugin, as kong.log.serialize names its members.
type entry struct {
	// StartedAt is in milliseconds since 1970.
	StartedAt float64 `json:"started_at"`
	ClientIP  string  `json:"client_ip"`
	Request   request `json:"request"`
	Response  struct {
		Status int `json:"status"`
	} `json:"response"`
	Service struct {
		Name     string `json:"name"`
		Host     string `json:"host"`
		Port     int    `json:"port"`
		Protocol string `json:"protocol"`
	} `json:"service"`
	Route struct {
		Name string `json:"name"`
	} `json:"route"`
	WorkspaceName string `json:"workspace_name"`
	// Consumer is who Kong took the caller for; absent without authentication.
	Consumer struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		CustomID string `json:"custom_id"`
	} `json:"consumer"`
	// AuthenticatedEntity is the credential that was accepted.
	AuthenticatedEntity struct {
		ID string `json:"id"`
	} `json:"authenticated_entity"`
	// TraceID has one member for each propagation format of the OpenTelemetry plugin.
	TraceID struct {
		W3C string `json:"w3c"`
	} `json:"trace_id"`
	AI struct {
		MCP struct {
			SessionID       string      `json:"mcp_session_id"`
			ServerID        string      `json:"mcp_server_id"`
			ProtocolVersion string      `json:"protocol_version"`
			RPC             list[rpc]   `json:"rpc"`
			Audit           list[audit] `json:"audit"`
		} `json:"mcp"`
	} `json:"ai"`
}

type request struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Headers are texts, or lists of them when sent more than once.
	Headers map[string]json.RawMessage `json:"headers"`
}

// list is a JSON array. Lua has one kind of empty table, which its encoder
// writes as {}.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "{}" {
		return nil
	}
	return json.Unmarshal(b, (*[]T)(l))
}

// header returns a header's only value.
func (r *request) header(name string) string {
	var s string
	if json.Unmarshal(r.Headers[name], &s) != nil {
		return ""
	}
	return s
}

// upstream is where Kong's service points to.
func (in *entry) upstream() string {
	s := in.Service
	if s.Host == "" {
		return ""
	}
	host := s.Host
	if s.Port > 0 {
		host = net.JoinHostPort(host, strconv.Itoa(s.Port))
	}
	if s.Protocol == "" {
		return host
	}
	return s.Protocol + "://" + host
}

// bare returns a URL without userinfo, query and fragment, where a key may stand.
func bare(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

var (
	traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}`)
	traceID     = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// trace reads the caller's traceparent, else the id that the OpenTelemetry plugin logged.
func (in *entry) trace(e *event.Event) {
	if m := traceparent.FindStringSubmatch(in.Request.header("traceparent")); m != nil {
		e.Correlation.TraceID, e.Correlation.ParentSpanID = m[1], m[2]
	} else if traceID.MatchString(in.TraceID.W3C) {
		e.Correlation.TraceID = in.TraceID.W3C
	}
}

// anonymous says that Kong used the consumer that its documentation names
// "anonymous" and that stands for callers who did not authenticate.
func (in *entry) anonymous() bool { return strings.EqualFold(in.Consumer.Username, "anonymous") }

// who fills the subject: the consumer, else the credential's own id.
func (in *entry) who(e *event.Event) {
	c, credential := in.Consumer, in.AuthenticatedEntity.ID
	if in.anonymous() {
		e.Warnings = append(e.Warnings, "the consumer is the anonymous one: nobody authenticated")
		return
	}
	if credential != "" {
		e.Attributes["kong.credential_id"] = credential
		e.Token.Verified = event.TokenVerified // Kong has an entity only of a credential it accepted
	}
	if c.CustomID != "" {
		e.Attributes["kong.consumer.custom_id"] = c.CustomID
	}
	switch {
	case c.ID != "" || c.Username != "":
		e.Subject = event.Party{Sub: first(c.ID, c.Username), Name: c.Username}
	case credential != "":
		e.Subject = event.Party{Sub: credential}
		e.Warnings = append(e.Warnings, "no consumer: the subject is the id of the credential")
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

// scalar is the text of a JSON string or number.
func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}
