package cerbos

import (
	"encoding/json"
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// entry is an access log entry or a decision log entry.
type entry struct {
	Logger      string  `json:"log.logger"` // of the file backend, which may share a stream with other logs
	LogKind     string  `json:"log.kind"`
	KafkaKind   string  `json:"cerbos.audit.kind"` // where a connector copies headers into the value
	CallID      string  `json:"callId"`
	Timestamp   string  `json:"timestamp"`
	Peer        peer    `json:"peer"`
	Metadata    headers `json:"metadata"`
	Method      string  `json:"method"`     // access: the gRPC method
	StatusCode  uint32  `json:"statusCode"` // access: the gRPC status; absent is 0, OK
	Check       *check  `json:"checkResources"`
	Plan        *plan   `json:"planResources"`
	check               // the deprecated form, at the top
	AuditTrail  trail   `json:"auditTrail"`
	Oversized   bool    `json:"oversized"`
	Policies    source  `json:"policySource"`
	Annotations struct {
		Annotations map[string]any `json:"annotations"`
	} `json:"requestContext"`
}

// headers are gRPC metadata, as far as the server's configuration lets them in.
type headers map[string]struct {
	Values []string `json:"values"`
}

func (h headers) get(name string) string {
	if v := h[name].Values; len(v) > 0 {
		return v[0]
	}
	return ""
}

// peer is who asked the decision point.
type peer struct {
	Address      string `json:"address"`
	AuthInfo     string `json:"authInfo"`
	UserAgent    string `json:"userAgent"`
	ForwardedFor string `json:"forwardedFor"`
}

type check struct {
	Inputs  []input  `json:"inputs"`
	Outputs []output `json:"outputs"`
	Error   string   `json:"error"`
}

type plan struct {
	Input  input      `json:"input"`
	Output planOutput `json:"output"`
	Error  string     `json:"error"`
}

type input struct {
	RequestID string    `json:"requestId"`
	Resource  resource  `json:"resource"`
	Principal principal `json:"principal"`
	Actions   []string  `json:"actions"`
	Action    string    `json:"action"` // of a plan, until actions came
	AuxData   struct {
		JWT  map[string]any `json:"jwt"`
		JWTs map[string]struct {
			Claims map[string]any `json:"claims"`
		} `json:"jwts"`
	} `json:"auxData"`
}

type resource struct {
	Kind          string `json:"kind"`
	ID            string `json:"id"`
	PolicyVersion string `json:"policyVersion"`
	Scope         string `json:"scope"`
}

type principal struct {
	ID    string   `json:"id"`
	Roles []string `json:"roles"`
	Scope string   `json:"scope"`
}

type output struct {
	RequestID  string                  `json:"requestId"`
	ResourceID string                  `json:"resourceId"`
	Actions    map[string]actionEffect `json:"actions"`
	Derived    []string                `json:"effectiveDerivedRoles"`
	Invalid    []json.RawMessage       `json:"validationErrors"`
	Outputs    []struct {
		Src    string `json:"src"`
		Action string `json:"action"`
	} `json:"outputs"`
	Errors []json.RawMessage `json:"evaluationErrors"`
}

type actionEffect struct {
	Effect json.RawMessage `json:"effect"` // the name of the enumeration, or its number
	Policy string          `json:"policy"`
	Scope  string          `json:"scope"`
}

type planOutput struct {
	RequestID     string            `json:"requestId"`
	PolicyVersion string            `json:"policyVersion"`
	Scope         string            `json:"scope"`
	MatchedScopes map[string]string `json:"matchedScopes"`
	Invalid       []json.RawMessage `json:"validationErrors"`
	Errors        []json.RawMessage `json:"evaluationErrors"`
	Filter        struct {
		Kind json.RawMessage `json:"kind"`
	} `json:"filter"`
}

func (in *entry) problems() event.Problems {
	var problems event.Problems
	add := func(bad bool, field, reason string) {
		if bad {
			problems = append(problems, event.Problem{Field: field, Reason: reason})
		}
	}
	at, err := event.ParseTime(in.Timestamp)
	add(in.CallID == "", "callId", "is required")
	add(in.Timestamp == "", "timestamp", "is required")
	add(in.Timestamp != "" && (err != nil || at == 0), "timestamp", "want an RFC 3339 time after 1970")
	switch in.kind() {
	case "access":
	case "decision":
		add(in.Plan == nil && !in.asked().given(), "checkResources", "is required, or planResources")
	case "":
		add(true, "", "neither an access log entry nor a decision log entry")
	default:
		add(true, "log.kind", `want "access" or "decision"`)
	}
	add(in.asked().tooMany(), "checkResources", fmt.Sprintf("has more than %d decisions", maxDecisions))
	return problems
}

// kind is "access" or "decision", what else log.kind says, or empty.
func (in *entry) kind() string {
	switch {
	case in.LogKind != "":
		return in.LogKind
	case in.KafkaKind != "":
		return in.KafkaKind
	case in.Method != "":
		return "access"
	case in.Plan != nil || in.asked().given():
		return "decision"
	}
	return ""
}

// asked is the check of either form.
func (in *entry) asked() *check {
	if in.Check != nil {
		return in.Check
	}
	return &in.check
}

func (c *check) given() bool {
	return len(c.Inputs)+len(c.Outputs) > 0 || c.Error != ""
}

func (c *check) tooMany() bool {
	asked, answered := len(c.Inputs), len(c.Outputs)
	for _, i := range c.Inputs {
		asked += len(i.Actions)
	}
	for _, o := range c.Outputs {
		answered += len(o.Actions)
	}
	return max(asked, answered) > maxDecisions
}
