// Package chain builds delegation chains from events: who acted, on whose
// behalf, through which tokens, and who allowed each call.
//
// It is pure: the same events in any order give the same chains. Tokens are the
// hops. A token hangs below the one it was exchanged for; where the exchange was
// not seen, it hangs where the token's own act claim and the shared
// transaction, task or trace say, and the hop is marked as missing. It does not
// decide whether a missing event was never sent or is not collected.
package chain

import (
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// Join says by what a hop or a decision was joined, strongest first.
type Join string

// The joins.
const (
	ByLineage     Join = "token_lineage"  // an exchange names both references
	ByDecisionID  Join = "decision_id"    // the caller recorded the decision's id
	ByTransaction Join = "transaction"    // act claim and the same txn
	ByTask        Join = "task"           // act claim and the same task
	ByTrace       Join = "trace"          // act claim, or token and tool, and the same trace
	ByJSONRPC     Join = "jsonrpc"        // token, server, tool, JSON-RPC id and time
	ByClaim       Join = "act_claim_only" // the claim names an actor of whom no token was seen
)

// Chain is one delegation, from the credential it began with.
type Chain struct {
	// Tenant of all its events.
	Tenant string `json:"tenant"`
	// Root is the first token.
	Root *Hop `json:"root"`
	// Depth is the number of exchanges, seen or missing, on the longest path.
	Depth int `json:"depth"`
	// Missing is the number of hops whose exchange was not seen.
	Missing int `json:"missing"`
}

// Hop is one token: who holds it and what was done with it.
type Hop struct {
	// TokenRef is the token's reference; empty for a hop known only from a claim.
	TokenRef string `json:"token_ref,omitempty"`
	// Subject on whose behalf, and Actor who holds the token; no actor: the subject itself.
	Subject event.Party `json:"subject"`
	Actor   event.Party `json:"actor,omitzero"`
	// Chain is the act claim: current actor first.
	Chain    []event.Link `json:"chain,omitempty"`
	Issuer   string       `json:"issuer,omitempty"`
	Audience []string     `json:"audience,omitempty"`
	Scope    []string     `json:"scope,omitempty"`
	// ScopeAdded and ScopeRemoved compare with the parent token.
	ScopeAdded   []string   `json:"scope_added,omitempty"`
	ScopeRemoved []string   `json:"scope_removed,omitempty"`
	IssuedAt     event.Time `json:"issued_at,omitzero"`
	ExpiresAt    event.Time `json:"expires_at,omitzero"`
	// LifetimeSeconds is 0 when not known.
	LifetimeSeconds int64          `json:"lifetime_seconds,omitempty"`
	Static          bool           `json:"static,omitempty"`
	Verified        event.Verified `json:"verified,omitempty"`
	// Join says how the hop hangs below its parent; empty at the root.
	Join Join `json:"join,omitempty"`
	// Missing says what was not seen; empty when the hop is complete.
	Missing string `json:"missing,omitempty"`
	// Problems are contradictions between what was claimed and what was seen.
	Problems []string `json:"problems,omitempty"`
	// ExchangeEvent is the id of the exchange that issued the token, Source who reported it.
	ExchangeEvent string `json:"exchange_event,omitempty"`
	Source        string `json:"source,omitempty"`
	StepUp        bool   `json:"step_up,omitempty"`
	// Reused counts the exchanges answered from a cache with this token.
	Reused   int    `json:"reused,omitempty"`
	Calls    []Call `json:"calls,omitempty"`
	Children []*Hop `json:"children,omitempty"`
}

// Call is one tool invocation with the decision on it.
type Call struct {
	Event    string        `json:"event"`
	Time     event.Time    `json:"time"`
	Server   event.Server  `json:"server"`
	Tool     string        `json:"tool"`
	Outcome  event.Outcome `json:"outcome"`
	TraceID  string        `json:"trace_id,omitempty"`
	Source   string        `json:"source"`
	Decision *Decision     `json:"decision,omitempty"`
	Problems []string      `json:"problems,omitempty"`
}

// Decision is what a policy engine answered.
type Decision struct {
	Event   string       `json:"event"`
	Effect  event.Effect `json:"effect"`
	Engine  string       `json:"engine,omitempty"`
	Policy  string       `json:"policy,omitempty"`
	Version string       `json:"policy_version,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Join    Join         `json:"join"`
}

// Holder is who presents the token.
func (h *Hop) Holder() event.Party {
	if h.Actor != (event.Party{}) {
		return h.Actor
	}
	return h.Subject
}

// Lifetime is 0 when not known.
func (h *Hop) Lifetime() time.Duration { return time.Duration(h.LifetimeSeconds) * time.Second }

// Walk visits the hop and everything below it, parents first.
func (h *Hop) Walk(visit func(h *Hop, depth int)) { h.walk(visit, 0) }

func (h *Hop) walk(visit func(*Hop, int), depth int) {
	visit(h, depth)
	for _, c := range h.Children {
		c.walk(visit, depth+1)
	}
}
