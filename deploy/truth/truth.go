// Package truth holds what Custody concludes against what the demo estate wrote
// down while it acted: every exchange as an edge of a chain, every call with its
// verdicts. It stands between the pipeline's log and the processor too
// ([Forward]), where it withholds, delays and reorders events, so that figures
// tell how far conclusions hold when the record does not.
//
// The estate's book is read here only; nothing of the pipeline sees it.
package truth

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/custody-audit/custody/deploy/demo"
)

// Book is what really happened.
type Book struct {
	steps  []demo.Step // in the order of their beginnings
	issued map[token]*demo.Step
}

// token is one in a tenant.
type token struct{ tenant, ref string }

// Read reads the steps that an estate wrote.
func Read(r io.Reader) (*Book, error) {
	b := &Book{issued: map[token]*demo.Step{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s demo.Step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("step %d: %w", len(b.steps)+1, err)
		}
		b.steps = append(b.steps, s)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read steps: %w", err)
	}
	slices.SortStableFunc(b.steps, func(x, y demo.Step) int {
		return cmp.Or(x.Began.Compare(y.Began), cmp.Compare(x.TokenRef, y.TokenRef))
	})
	for i := range b.steps {
		if s := &b.steps[i]; s.Kind != demo.StepCall {
			b.issued[token{s.Tenant, s.TokenRef}] = s
		}
	}
	return b, nil
}

// Trace is one undertaking of a tenant.
type Trace struct{ Tenant, ID string }

// Traces are all of them, in order.
func (b *Book) Traces() []Trace {
	var out []Trace
	seen := map[Trace]bool{}
	for _, s := range b.steps {
		if t := (Trace{s.Tenant, s.TraceID}); !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}

// Hop is an edge of a chain: the actor got the token for its parent.
type Hop struct{ Tenant, Parent, Token, Actor string }

// Hops are those that happened.
func (b *Book) Hops() map[Hop]bool {
	out := map[Hop]bool{}
	for _, s := range b.steps {
		if s.Kind == demo.StepExchange {
			out[Hop{s.Tenant, s.ParentRef, s.TokenRef, s.Actor}] = true
		}
	}
	return out
}

// Call names a call, whoever reported it.
type Call struct{ Tenant, TraceID, Server, Tool, JSONRPCID string }

// Verdict is one thing that is said of a call; of each call three are: about its
// decision, its token, and the exchange that made that.
type Verdict struct {
	Call
	Word string
}

// Verdicts is a set of them.
type Verdicts map[Verdict]bool

// say adds what a judge said. That something is not known is no verdict.
func (v Verdicts) say(c Call, word string) {
	if word != "unknown" {
		v[Verdict{c, word}] = true
	}
}

// Verdicts are those that a judge who knows all would give.
func (b *Book) Verdicts() Verdicts {
	out := Verdicts{}
	used := map[token]bool{} // by a call that ran
	for _, s := range b.steps {
		if s.Kind != demo.StepCall {
			continue
		}
		c := Call{s.Tenant, s.TraceID, s.Server, s.Tool, s.JSONRPCID}
		k := token{s.Tenant, s.TokenRef}
		for _, word := range []string{decision(s), b.presented(s), b.exchange(s, used[k])} {
			out.say(c, word)
		}
		used[k] = used[k] || s.Ran
	}
	return out
}

// decision is the verdict about who allowed the call; both of the estate's
// policies are connected.
func decision(s demo.Step) string {
	switch {
	case s.Decided == "":
		return "no_decision_seen"
	case s.Decided == "error":
		return "undecided"
	case s.Decided == "deny" && s.Ran:
		return "decided_deny_but_ran"
	case s.Decided == "deny":
		return "denied"
	}
	return "decided_allow"
}

// presented is the verdict about the token at this server.
func (b *Book) presented(s demo.Step) string {
	issue := b.issued[token{s.Tenant, s.TokenRef}]
	switch {
	case s.Static:
		return "static"
	case issue == nil:
		return "orphan"
	case issue.Server != s.Server:
		return "passthrough"
	}
	return "legitimate"
}

// exchange is the verdict about how the token was made.
func (b *Book) exchange(s demo.Step, usedBefore bool) string {
	issue := b.issued[token{s.Tenant, s.TokenRef}]
	if s.Static || issue == nil || issue.Kind == demo.StepLogin {
		return "none"
	}
	parent := b.issued[token{s.Tenant, issue.ParentRef}]
	switch {
	case parent == nil:
		return "unknown"
	case !within(issue.Scope, parent.Scope):
		return "widening"
	case issue.StepUp:
		return "step_up"
	case usedBefore:
		return "cached"
	case within(parent.Scope, issue.Scope):
		return "exact"
	}
	return "narrowed"
}

// within says that each of a is in b.
func within(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

// Score is how much of what was concluded is true, and how much of what is true
// was concluded.
type Score struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	// True, Concluded, and Both.
	True      int `json:"true"`
	Concluded int `json:"concluded"`
	Both      int `json:"both"`
}

// Compare counts. Nothing concluded is no false conclusion.
func Compare[T comparable](happened, concluded map[T]bool) Score {
	s := Score{True: len(happened), Concluded: len(concluded), Precision: 1, Recall: 1}
	for c := range concluded {
		if happened[c] {
			s.Both++
		}
	}
	if s.Concluded > 0 {
		s.Precision = float64(s.Both) / float64(s.Concluded)
	}
	if s.True > 0 {
		s.Recall = float64(s.Both) / float64(s.True)
	}
	return s
}
