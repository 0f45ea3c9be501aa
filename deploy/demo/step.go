package demo

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/custody-audit/custody/deploy/demo/toolserver"
)

// StepKind says what a Step was.
type StepKind string

// The kinds of steps.
const (
	StepLogin    StepKind = "login"    // a human got a token
	StepExchange StepKind = "exchange" // a token was traded for another
	StepCall     StepKind = "call"     // a tool was called, and the call reached the tool
)

// Step is one thing that happened, as whoever did it knows it. The estate writes
// it down while it acts, apart from what it reports: the pipeline never reads it.
type Step struct {
	Kind StepKind `json:"kind"`
	// Began is when, by the estate's clock.
	Began   time.Time `json:"began"`
	Tenant  string    `json:"tenant"`
	TraceID string    `json:"trace_id"`
	// Actor who got or presented the token; empty for the subject itself.
	Actor string `json:"actor,omitempty"`
	// TokenRef is the token that was got, or presented at a call.
	TokenRef string `json:"token_ref"`
	// ParentRef is what was given for it in an exchange.
	ParentRef string `json:"parent_ref,omitempty"`
	// Scope of the token that was got, StepUp when the server had asked for more.
	Scope  []string `json:"scope,omitempty"`
	StepUp bool     `json:"step_up,omitempty"`
	// Server that the token was got for, or where the call was made.
	Server string `json:"server,omitempty"`
	// Of a call.
	Tool      string `json:"tool,omitempty"`
	JSONRPCID string `json:"jsonrpc_id,omitempty"`
	Static    bool   `json:"static,omitempty"`
	// Decided is what the policy answered: allow, deny or error; empty when nobody asked.
	Decided string `json:"decided,omitempty"`
	// Ran says that the tool did its work, or tried to.
	Ran bool `json:"ran,omitempty"`
}

// step writes it down.
func (l *ledger) step(s Step) {
	if l.out == nil {
		return
	}
	b, err := json.Marshal(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		_, err = l.out.Write(append(b, '\n'))
	}
	if err != nil && l.broken == nil {
		l.broken = fmt.Errorf("write the truth: %w", err)
	}
}

// got notes the token of a login or an exchange of an agent.
func (a *act) got(kind StepKind, began time.Time, agent, server, parent, ref string, scope []string) {
	a.ledger.step(Step{
		Kind: kind, Began: began, Tenant: a.name, TraceID: a.traceID, Actor: agent, TokenRef: ref, ParentRef: parent, Scope: scope, StepUp: a.steppingUp, Server: server,
	})
}

// handled notes a call that reached a tool.
func (t *tenant) handled(server string) func(toolserver.Handled) {
	return func(h toolserver.Handled) {
		t.ledger.step(Step{
			Kind: StepCall, Began: h.Began, Tenant: t.name, TraceID: h.TraceID, TokenRef: h.TokenRef, Server: server, Tool: h.Tool, JSONRPCID: h.JSONRPCID,
			Static: h.Static, Decided: h.Decided, Ran: h.Ran,
		})
	}
}
