// Package enrich adds to events what they do not say themselves: who owns the
// principals, how sensitive server and tool are, what the token allows beyond
// what the tool needs.
//
// It stands in the processor, between decoding and storing. A registry, read
// from files or tables, lists the principals, servers and tools of each tenant;
// a [Snapshot] is the registry at one moment and never changes, so a block of
// events is judged by one version, which is stored with each of them. What is
// only known later, a token's lineage or whether somebody used a tool for the
// first time, is computed behind the store by [Engine].
//
// It guarantees that [Snapshot.Facts] asks nobody and allocates nothing once its
// result's slices have grown, and that what is not known is told apart from what
// is not so. It does not believe the registry more than the event: both are kept.
package enrich

import (
	"github.com/custody-audit/custody/schemas/event"
)

// Registry is what is registered for one tenant.
type Registry struct {
	Principals []Principal `json:"principals,omitempty"`
	Servers    []Server    `json:"servers,omitempty"`
	Tools      []Tool      `json:"tools,omitempty"`
}

// Principal is a human, an agent, a workload or a service.
type Principal struct {
	// Iss and Sub name it as in events. Sub may end in "*" and then stands for all
	// that begin so and have no closer entry. Iss is empty for sources that do not
	// say it.
	Iss string `json:"iss,omitempty"`
	Sub string `json:"sub"`
	// Type is what it is.
	Type event.PartyType `json:"type,omitempty"`
	// Name to show.
	Name string `json:"name,omitempty"`
	// Owner answers for it: a person or a mailbox. Team they belong to.
	Owner string `json:"owner,omitempty"`
	Team  string `json:"team,omitempty"`
	// Lifecycle in order of time; none is active for ever.
	Lifecycle []Phase `json:"lifecycle,omitempty"`
}

// Server is an MCP server or another protected resource.
type Server struct {
	// ID as in events.
	ID string `json:"id"`
	// Name to show.
	Name string `json:"name,omitempty"`
	// URIs are its resource identifiers (RFC 8707), by which it is also found.
	URIs []string `json:"uris,omitempty"`
	// Audiences that it accepts beside ID and URIs.
	Audiences []string `json:"audiences,omitempty"`
	// Owner answers for it: a person or a mailbox. Team they belong to.
	Owner string `json:"owner,omitempty"`
	Team  string `json:"team,omitempty"`
	// Sensitivity of the data behind it.
	Sensitivity Sensitivity `json:"sensitivity,omitempty"`
	// Lifecycle in order of time; none is active for ever.
	Lifecycle []Phase `json:"lifecycle,omitempty"`
}

// Tool is a tool of a server.
type Tool struct {
	// Server is the id of its server.
	Server string `json:"server"`
	// Name as in events. It may end in "*" and then stands for all that begin so
	// and have no closer entry.
	Name string `json:"name"`
	// Owner answers for it; empty is the server's.
	Owner string `json:"owner,omitempty"`
	// Sensitivity of what it reads or changes; empty is the server's.
	Sensitivity Sensitivity `json:"sensitivity,omitempty"`
	// Scopes that a call needs; empty is not known.
	Scopes []string `json:"scopes,omitempty"`
	// Destructive says that it removes or overwrites.
	Destructive bool `json:"destructive,omitempty"`
}

// Sensitivity of data.
type Sensitivity string

// Sensitivities from the least on.
var Sensitivities = []Sensitivity{"public", "internal", "confidential", "restricted"}

// State of what is registered.
type State string

// The states. Planned is before the first phase, when that is an active one; it
// is not written.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Retired   State = "retired"
	Planned   State = "planned"
)

// Phase says that something is in a state from a time on.
type Phase struct {
	State State      `json:"state"`
	Since event.Time `json:"since"`
}

// StateAt returns the state at a time.
func StateAt(phases []Phase, at event.Time) State {
	for i := len(phases) - 1; i >= 0; i-- {
		if phases[i].Since <= at {
			return phases[i].State
		}
	}
	if len(phases) > 0 && phases[0].State == Active {
		return Planned
	}
	return Active
}
