// Package chain builds delegation chains from events: who acted, on whose
// behalf, through which tokens, and who allowed each call.
//
// It is pure: the same events in any order, repeated or not, give the same
// chains. Tokens are the hops. A token hangs below the one it was exchanged for;
// where the exchange was not seen, it hangs where the token's own act claim and
// the shared transaction, task or trace say, or under an exchange that stood for
// it at the time, and each edge says by what it was joined and how strong that
// is. What was not seen stays in its place as a hop that is missing; whether it
// was never sent or is not collected is for [Chain.Gaps] to be told, by somebody
// who knows who reports what.
package chain

import (
	"time"

	"github.com/custody-audit/custody/schemas/event"
)

// Chain is one delegation, from the credential it began with.
type Chain struct {
	// Tenant of the root.
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
	// Tenant whose events tell of it.
	Tenant string `json:"tenant"`
	// TokenRef is the token's reference; empty for a hop known only from a claim,
	// and for a token that its events do not refer to.
	TokenRef string `json:"token_ref,omitempty"`
	// TokenID is the token's jti claim.
	TokenID string `json:"token_id,omitempty"`
	// Subject on whose behalf, and Actor who holds the token; no actor: the subject itself.
	Subject event.Party `json:"subject"`
	Actor   event.Party `json:"actor,omitzero"`
	// Chain is the act claim, normalised: current actor first.
	Chain []event.Link `json:"chain,omitempty"`
	// ChainRule is how the source nests the claim, ChainRaw the claim as it came.
	ChainRule event.ChainRule `json:"chain_rule,omitempty"`
	ChainRaw  string          `json:"chain_raw,omitempty"`
	Issuer    string          `json:"issuer,omitempty"`
	Audience  []string        `json:"audience,omitempty"`
	Scope     []string        `json:"scope,omitempty"`
	// ScopeAdded and ScopeRemoved compare with the parent token.
	ScopeAdded   []string   `json:"scope_added,omitempty"`
	ScopeRemoved []string   `json:"scope_removed,omitempty"`
	IssuedAt     event.Time `json:"issued_at,omitzero"`
	ExpiresAt    event.Time `json:"expires_at,omitzero"`
	// RevokedAt is when its revocation was reported.
	RevokedAt event.Time `json:"revoked_at,omitzero"`
	// LifetimeSeconds is 0 when not known.
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty"`
	Static          bool  `json:"static,omitempty"`
	// Verified is the proof state: whether the hop is cryptographically attributable.
	Verified event.Verified `json:"verified,omitempty"`
	// Join says by what the hop hangs below its parent, Strength how sure that is; empty at the root.
	Join     Join     `json:"join,omitempty"`
	Strength Strength `json:"strength,omitempty"`
	// Missing says what was not seen; absent when the hop is complete.
	Missing *Missing `json:"missing,omitempty"`
	// Problems are contradictions between what was claimed and what was seen.
	Problems []string `json:"problems,omitempty"`
	// ExchangeEvent is the id of the exchange that issued the token, Source who reported it.
	ExchangeEvent string `json:"exchange_event,omitempty"`
	Source        string `json:"source,omitempty"`
	StepUp        bool   `json:"step_up,omitempty"`
	// Reused counts the exchanges answered from a cache with this token.
	Reused int `json:"reused,omitempty"`
	// Evidence are the events that tell of the token, beside its calls and their
	// decisions: its issue, exchanges that were refused, its revocation.
	Evidence []Evidence `json:"evidence,omitempty"`
	Calls    []Call     `json:"calls,omitempty"`
	Children []*Hop     `json:"children,omitempty"`
}

// Evidence is an event that a hop rests on.
type Evidence struct {
	Event   string        `json:"event"`
	Kind    event.Kind    `json:"kind"`
	Type    string        `json:"type,omitempty"`
	Time    event.Time    `json:"time"`
	Source  string        `json:"source"`
	Outcome event.Outcome `json:"outcome"`
}

// Call is one tool invocation with the decision on it.
type Call struct {
	Event   string        `json:"event"`
	Time    event.Time    `json:"time"`
	Server  event.Server  `json:"server"`
	Tool    string        `json:"tool"`
	Outcome event.Outcome `json:"outcome"`
	// Resource is the backend behind the server.
	Resource string `json:"resource,omitempty"`
	TraceID  string `json:"trace_id,omitempty"`
	Source   string `json:"source"`
	// Join says by what the call belongs to its hop, Strength how sure that is.
	Join     Join      `json:"join"`
	Strength Strength  `json:"strength"`
	Decision *Decision `json:"decision,omitempty"`
	// Missing says that no decision was seen, and why.
	Missing  *Missing `json:"missing,omitempty"`
	Problems []string `json:"problems,omitempty"`
}

// Decision is what a policy engine answered.
type Decision struct {
	Event    string       `json:"event"`
	Time     event.Time   `json:"time"`
	Source   string       `json:"source"`
	Effect   event.Effect `json:"effect"`
	Engine   string       `json:"engine,omitempty"`
	Policy   string       `json:"policy,omitempty"`
	Version  string       `json:"policy_version,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Join     Join         `json:"join"`
	Strength Strength     `json:"strength"`
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
