package demo

import (
	"io"
	"slices"
	"strings"
	"sync"
)

// TruthKind says what really happened, whatever was recorded of it.
type TruthKind string

// The kinds of truth: work in order, then what custody should find.
const (
	Delegation          TruthKind = "delegation"            // a chain with everything in place
	StepUp              TruthKind = "step_up"               // more scope was asked for, within the subject's
	DeniedCall          TruthKind = "denied_call"           // refused by policy, and the server obeyed
	RefusedExchange     TruthKind = "refused_exchange"      // the authorization server said no
	RefusedToken        TruthKind = "refused_token"         // shown at a server that it was not issued for, and turned away
	WithheldExchange    TruthKind = "withheld_exchange"     // happened, and its event was not sent
	Passthrough         TruthKind = "token_passthrough"     // a server sent on the token it received
	ScopeWidening       TruthKind = "scope_widening"        // an exchange granted more than its subject token had
	CallAfterDeny       TruthKind = "call_after_deny"       // the server ignored the denial
	CallWithoutDecision TruthKind = "call_without_decision" // the server never asked
	StaticCredential    TruthKind = "static_credential"     // a key that nobody issued per task
	UseAfterTaskEnd     TruthKind = "use_after_task_end"    // a token outlived its task
	HumanToken          TruthKind = "human_token"           // an agent used the human's own token
)

// Misbehaviour says whether the kind is something to find.
func (k TruthKind) Misbehaviour() bool {
	return !slices.Contains([]TruthKind{Delegation, StepUp, DeniedCall, RefusedExchange, RefusedToken}, k)
}

// Truth is one fact of the estate that a test can hold against what custody concludes.
type Truth struct {
	Kind     TruthKind `json:"kind"`
	Scenario string    `json:"scenario"`
	Tenant   string    `json:"tenant"`
	// Subject on whose behalf, and Actors, current one first, as the last token says.
	Subject string   `json:"subject"`
	Actors  []string `json:"actors,omitempty"`
	// Server, Tool and JSONRPCID name the call in question; empty for an exchange.
	Server    string `json:"server,omitempty"`
	Tool      string `json:"tool,omitempty"`
	JSONRPCID string `json:"jsonrpc_id,omitempty"`
	// TokenRefs are the tokens involved, from the login to the last hop.
	TokenRefs []string `json:"token_refs,omitempty"`
	TraceID   string   `json:"trace_id"`
	TaskID    string   `json:"task_id"`
}

// Path shows who acted: "alice -> planner -> github-mcp -> deploy-mcp".
func (t Truth) Path() string {
	actors := slices.Clone(t.Actors)
	slices.Reverse(actors)
	path := append([]string{t.Subject}, actors...)
	if t.Server != "" {
		path = append(path, t.Server)
	}
	return strings.Join(path, " -> ")
}

// passed is one hop inside the estate as the server that made it knows it.
type passed struct {
	from, server, tool string
	tokenRef           string
	jsonrpcID          string
}

// ledger collects the truth while scenarios run.
type ledger struct {
	out     io.Writer // takes the steps; nil: nobody
	mu      sync.Mutex
	broken  error               // why a step could not be written; guarded by mu
	truths  []Truth             // guarded by mu
	dropped int                 // truths beyond maxTruths; guarded by mu
	hops    map[string][]passed // by trace id, in the order of their ends: innermost first; guarded by mu
}

// maxTruths bounds the memory of a long run.
const maxTruths = 100_000

func newLedger(out io.Writer) *ledger { return &ledger{out: out, hops: map[string][]passed{}} }

// pass notes a hop of a server; the enactment of the trace takes it.
func (l *ledger) pass(traceID string, p passed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hops[traceID] = append(l.hops[traceID], p)
}

// take returns the hops of a trace, outermost first, and forgets them.
func (l *ledger) take(traceID string) []passed {
	l.mu.Lock()
	defer l.mu.Unlock()
	hops := l.hops[traceID]
	delete(l.hops, traceID)
	slices.Reverse(hops)
	return hops
}

func (l *ledger) tell(t Truth) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.truths) == maxTruths {
		l.dropped++
		return
	}
	l.truths = append(l.truths, t)
}

// all returns the truths and how many were dropped.
func (l *ledger) all() ([]Truth, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.truths), l.dropped
}
