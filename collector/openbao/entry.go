package openbao

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"

	"github.com/custody-audit/custody/schemas/event"
)

// entry is one audit entry, of type request or response.
type entry struct {
	Time          string `json:"time"`
	Type          string `json:"type"`
	Error         string `json:"error"`
	ForwardedFrom string `json:"forwarded_from"`
	Auth          auth   `json:"auth"`
	Request       struct {
		ID                  string                     `json:"id"`
		Operation           string                     `json:"operation"`
		Path                string                     `json:"path"`
		MountPoint          string                     `json:"mount_point"`
		MountType           string                     `json:"mount_type"`
		ClientToken         string                     `json:"client_token"`
		ClientTokenAccessor string                     `json:"client_token_accessor"`
		RemoteAddress       string                     `json:"remote_address"`
		RemotePort          int                        `json:"remote_port"`
		CertificateSerial   string                     `json:"client_certificate_serial_number"`
		Headers             map[string]json.RawMessage `json:"headers"`
		Data                map[string]json.RawMessage `json:"data"`
		Namespace           struct {
			Path string `json:"path"`
		} `json:"namespace"`
	} `json:"request"`
	Response struct {
		Auth   *auth `json:"auth"`
		Secret *struct {
			LeaseID string `json:"lease_id"`
		} `json:"secret"`
		Data     map[string]json.RawMessage `json:"data"`
		WrapInfo *wrapInfo                  `json:"wrap_info"`
	} `json:"response"`

	at event.Time
}

// auth is who a token stands for: the caller's, or in a response the one issued.
type auth struct {
	ClientToken   string            `json:"client_token"`
	Accessor      string            `json:"accessor"`
	DisplayName   string            `json:"display_name"`
	EntityID      string            `json:"entity_id"`
	Policies      []string          `json:"policies"`
	Metadata      map[string]string `json:"metadata"`
	TokenType     string            `json:"token_type"`
	IssueTime     string            `json:"token_issue_time"`
	PolicyResults *struct {
		Allowed  bool `json:"allowed"`
		Granting []struct {
			Name          string `json:"name"`
			NamespacePath string `json:"namespace_path"`
			Type          string `json:"type"`
		} `json:"granting_policies"`
	} `json:"policy_results"`
	// TTL and NumUses: the lifetime in seconds, and how often it may be used, 0 for no limit.
	TTL     int64 `json:"token_ttl"`
	NumUses int64 `json:"num_uses"`
}

type wrapInfo struct {
	TTL             int64  `json:"ttl"` // seconds
	Token           string `json:"token"`
	Accessor        string `json:"accessor"`
	CreationTime    string `json:"creation_time"`
	CreationPath    string `json:"creation_path"`
	WrappedAccessor string `json:"wrapped_accessor"`
}

func (in *entry) path() string { return strings.TrimPrefix(in.Request.Path, "/") }

// address is the caller's, with the port where it is logged.
func (in *entry) address() string {
	r := in.Request
	if r.RemoteAddress != "" && r.RemotePort > 0 {
		return net.JoinHostPort(r.RemoteAddress, strconv.Itoa(r.RemotePort))
	}
	return r.RemoteAddress
}

// header is one of the headers that the operator lets be audited, a list of
// values each; hashed ones are left out.
func (in *entry) header(name string) string {
	var values []string
	if json.Unmarshal(in.Request.Headers[name], &values) != nil || len(values) == 0 || strings.HasPrefix(values[0], hmacPrefix) {
		return ""
	}
	return values[0]
}

// text reads a text member of data.
func text(data map[string]json.RawMessage, name string) string {
	var s string
	if json.Unmarshal(data[name], &s) != nil {
		return ""
	}
	return s
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
