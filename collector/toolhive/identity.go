package toolhive

import (
	"fmt"

	"github.com/custody-audit/custody/schemas/event"
)

// anonymous is what ToolHive writes for a user without a name, known or not.
const anonymous = "anonymous"

// delegation is the claim "act" as toolhive-core flattens it, current actor first.
type delegation struct {
	Chain []struct {
		Iss string `json:"iss"`
		Sub string `json:"sub"`
	} `json:"chain"`
	Truncated       bool   `json:"truncated"`
	Omitted         int64  `json:"omitted"`
	Malformed       bool   `json:"malformed"`
	MalformedReason string `json:"malformedReason"`
}

// describe fills what every event of the record has.
func (r *record) describe(e *event.Event) {
	r.subject(e)
	r.chain(e)
	e.Client.Name, e.Client.Version = r.Subjects.ClientName, r.Subjects.ClientVersion
	r.server(e)
	if r.Source.Type != "local" { // a workflow's source is the program itself
		e.ClientAddress = r.Source.Value
	}
	e.UserAgent = text(r.Source.Extra["user_agent"])
	if e.UserAgent == "" {
		e.UserAgent = text(r.Metadata.Extra["user_agent"])
	}
	e.Correlation.RequestID = text(r.Source.Extra["request_id"])
	e.Correlation.SessionID = text(r.Source.Extra["session_id"])
	e.SetAttribute("mcp.transport", text(r.Metadata.Extra["transport"]))
}

func (r *record) subject(e *event.Event) {
	e.Subject.Sub = r.Subjects.UserID
	if r.Subjects.User != anonymous {
		e.Subject.Name = r.Subjects.User
	}
	if e.Subject.Sub == "" {
		e.Warnings = append(e.Warnings, "no subjects.user_id: identity lost at the source")
	}
}

// chain copies the actors. It ends before one that names nobody: to leave that
// out would make neighbours of two that are none.
func (r *record) chain(e *event.Event) {
	d := r.Delegation
	if d == nil {
		return
	}
	if d.Malformed {
		e.ChainMalformed = d.MalformedReason
		if e.ChainMalformed == "" {
			e.ChainMalformed = "malformed"
		}
		e.Warnings = append(e.Warnings, "delegation is malformed at the source: "+e.ChainMalformed)
	}
	if d.Truncated || d.Omitted > 0 {
		e.ChainTruncated = true
		e.Warnings = append(e.Warnings, fmt.Sprintf("delegation is truncated at the source: %d earlier actors left out", max(d.Omitted, 0)))
	}
	for i, hop := range d.Chain {
		if hop.Iss == "" && hop.Sub == "" {
			reason := fmt.Sprintf("actor %d names nobody", i+1)
			if e.ChainMalformed == "" {
				e.ChainMalformed = reason
			}
			e.Warnings = append(e.Warnings, "delegation: "+reason+"; the chain is kept up to there")
			break
		}
		if len(e.Chain) == event.MaxChain {
			e.ChainTruncated = true
			e.Warnings = append(e.Warnings, fmt.Sprintf("chain cut: %d actors, at most %d", len(d.Chain), event.MaxChain))
			break
		}
		e.Chain = append(e.Chain, event.Link{Iss: hop.Iss, Sub: hop.Sub})
	}
	if len(e.Chain) > 0 {
		e.Actor = event.Party{Iss: e.Chain[0].Iss, Sub: e.Chain[0].Sub}
		e.ChainRule = event.SubjectChained
	}
}

// server takes the configured component for the server. ToolHive's own names for
// a component that nobody configured tell no server apart from another.
func (r *record) server(e *event.Event) {
	switch r.Component {
	case "", "toolhive-api", "vmcp-composer", "vmcp-server":
		e.Warnings = append(e.Warnings, "component is ToolHive's default: server unknown")
		e.SetAttribute("toolhive.component", r.Component)
	default:
		e.Server.ID = r.Component
	}
	e.Upstream = text(r.Metadata.Extra["backend_name"])
}
