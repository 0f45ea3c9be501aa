package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// told is what a page of chains says first, in words.
type told struct {
	// Who acted, and with which token.
	Who   event.Party
	Token string
	// Behalf is who is behind it; Through are those between, the nearest to Who first.
	Behalf  event.Party
	Through []event.Party
	// Calls that it is about, and who allowed them.
	Calls   int
	Allowed []allowed
	// Missing are the hops between that were not seen, Problems what is contradictory.
	Missing  []*chain.Missing
	Problems []string
	// Sure is how strong the weakest join is, By what it is joined by.
	Sure chain.Strength
	By   chain.Join
	// Others are the chains beside it.
	Others int
}

// allowed is a decision on calls, or that none was seen.
type allowed struct {
	*chain.Decision
	Missing *chain.Missing
	What    string
	Calls   int
}

// maxAllowed bounds the lines about decisions.
const maxAllowed = 8

// tell says who did what, on whose behalf, and who allowed it: of the call or the
// token that the question began with, else of the first token with a call.
func tell(chains []*chain.Chain, start string) *told {
	if len(chains) == 0 {
		return nil
	}
	path, call := findPath(chains, start)
	last := path[len(path)-1]
	t := &told{Who: last.Holder(), Token: last.TokenRef, Behalf: path[0].Subject, Others: len(chains) - 1, Sure: chain.Certain}
	for i := len(path) - 2; i >= 0; i-- {
		if who := path[i].Holder(); who != t.Behalf && (len(t.Through) == 0 || t.Through[len(t.Through)-1] != who) {
			t.Through = append(t.Through, who)
		}
	}
	for _, h := range path {
		if h.Missing != nil {
			t.Missing = append(t.Missing, h.Missing)
		}
		t.Problems = append(t.Problems, h.Problems...)
		if h.Join != "" {
			t.weaken(h.Join)
		}
	}
	if call != nil {
		t.call(call)
		return t
	}
	for i := range last.Calls {
		t.call(&last.Calls[i])
	}
	return t
}

// call adds what is to say of a call.
func (t *told) call(c *chain.Call) {
	t.Calls++
	t.weaken(c.Join)
	for _, p := range c.Problems {
		t.Problems = append(t.Problems, p+": "+c.Tool+" at "+serverOf(c))
	}
	a := allowed{Decision: c.Decision, Missing: c.Missing, What: c.Tool + " at " + serverOf(c), Calls: 1}
	for i := range t.Allowed {
		was := &t.Allowed[i]
		if was.What == a.What && sameDecision(was.Decision, a.Decision) {
			was.Calls++
			return
		}
	}
	if len(t.Allowed) < maxAllowed {
		t.Allowed = append(t.Allowed, a)
	}
}

func sameDecision(a, b *chain.Decision) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Effect == b.Effect && a.Engine == b.Engine && a.Policy == b.Policy && a.Version == b.Version && a.Reason == b.Reason
}

// strengths, the weakest last.
var strengths = map[chain.Strength]int{chain.Certain: 0, chain.Strong: 1, chain.Likely: 2, chain.Weak: 3, "": 4}

func (t *told) weaken(by chain.Join) {
	if s := by.Strength(); strengths[s] > strengths[t.Sure] {
		t.Sure, t.By = s, by
	}
}

// findPath returns the tokens from the root to where the question began, and the
// call or the decided call that it began with.
func findPath(chains []*chain.Chain, start string) ([]*chain.Hop, *chain.Call) {
	var first, found []*chain.Hop
	var call *chain.Call
	var walk func(h *chain.Hop, above []*chain.Hop)
	walk = func(h *chain.Hop, above []*chain.Hop) {
		path := append(above[:len(above):len(above)], h)
		if first == nil && len(h.Calls) > 0 {
			first = path
		}
		if found == nil && began(h, start) {
			found = path
		}
		for i := range h.Calls {
			c := &h.Calls[i]
			if call == nil && (callBegan(c, start) || c.TraceID != "" && c.TraceID == start) {
				found, call = path, c
			}
		}
		for _, child := range h.Children {
			walk(child, path)
		}
	}
	for _, c := range chains {
		walk(c.Root, nil)
	}
	switch {
	case found != nil:
		return found, call
	case first != nil:
		return first, nil
	}
	return []*chain.Hop{chains[0].Root}, nil
}

// began tells whether a question began with the token: its reference, or an event of it.
func began(h *chain.Hop, start string) bool {
	if h.TokenRef == start || h.ExchangeEvent == start {
		return start != ""
	}
	for _, e := range h.Evidence {
		if e.Event == start {
			return true
		}
	}
	return false
}

// callBegan tells whether a question began with the call, or the decision on it.
func callBegan(c *chain.Call, start string) bool {
	return c.Event == start || c.Decision != nil && c.Decision.Event == start
}

// nameOf is what people call somebody.
func nameOf(p event.Party) string {
	switch {
	case p.Name != "":
		return p.Name
	case p.Sub != "":
		return p.Sub
	}
	return "nobody known"
}

func typed(p event.Party) string {
	if p.Type == "" {
		return ""
	}
	return " (" + string(p.Type) + ")"
}

func serverOf(c *chain.Call) string {
	if c.Server.ID != "" {
		return c.Server.ID
	}
	return c.Server.Name
}

// tokenWords names a token in a box.
func tokenWords(h *chain.Hop) string {
	words := "token not seen"
	switch {
	case h.TokenRef != "":
		words = shortRef(h.TokenRef)
	case h.TokenID != "":
		words = "jti " + h.TokenID
	}
	if h.Static {
		words += ", static"
	}
	if h.LifetimeSeconds > 0 {
		words += ", lives " + lasts(h.Lifetime())
	}
	return words
}

// lasts writes a duration without the units that are zero at its end.
func lasts(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// shortRef is enough of a reference to tell it from others in one drawing.
func shortRef(ref string) string {
	if len(ref) > 18 {
		return ref[:18] + "…"
	}
	return ref
}

func scopeDelta(h *chain.Hop) string {
	var words []string
	for _, s := range h.ScopeAdded {
		words = append(words, "+"+s)
	}
	for _, s := range h.ScopeRemoved {
		words = append(words, "−"+s)
	}
	return strings.Join(words, " ")
}

// joined says by what something hangs where it does, and how sure that is.
func joined(by chain.Join, sure chain.Strength) string {
	if by == "" {
		return ""
	}
	return fmt.Sprintf("joined by %s: %s", strings.ReplaceAll(string(by), "_", " "), sure)
}
