package console

import (
	"fmt"
	"slices"
	"strings"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// node is a box of the drawing of chains: a token with who holds it, a call, the
// decision on a call, or a fold that stands for several of these.
type node struct {
	// ID is the same however much is folded: h and c number the tokens and calls of
	// the answer, d is the decision on the call of that number, f what is folded
	// below the token of it.
	ID   string
	Kind string // hop, call, decision, fold
	// Type of the holder, effect of the decision, or outcome of the call.
	Type       string
	X, Y, W, H int
	Title      string
	Lines      []string
	// From is when it came to be, To when it ended; zero is not known.
	From, To event.Time
	Missing  *chain.Missing
	Problems []string
	Focus    bool // the question began with it

	Hop   *chain.Hop
	Call  *chain.Call
	Calls []foldedCall // that a fold stands for
	Fold  string       // the value that opens it
	// Section is the box whose evidence is shown: of a decision, its call's, unless
	// that stands for several.
	Section string

	later, ended bool // at the time that is looked at
}

type foldedCall struct {
	ID string
	*chain.Call
}

// line leads from one box to one on its right.
type line struct {
	X1, Y1, X2, Y2 int
	To             *node
	Unsure         bool
	Title          string
}

// graph is one drawing of several chains.
type graph struct {
	Width, Height int
	Nodes         []*node
	Lines         []line
	// Moments are the times at which something came to be, each once.
	Moments []event.Time
	// Hops and Calls count all there are, Folded those that a fold stands for.
	Hops, Calls, Folded int
}

// foldOver is how many calls, and tokens, below one token are drawn one by one.
const foldOver = 6

// openAll opens every fold.
const openAll = "all"

// drawer makes the boxes of chains.
type drawer struct {
	start string
	open  []string
	hops  map[*chain.Hop]string
	calls map[*chain.Call]string
	graph *graph
}

// draw lays out the chains of a start. What is far below one token is folded,
// unless it is named in open, or the question began with it.
func draw(chains []*chain.Chain, start string, open []string) *graph {
	d := &drawer{start: start, open: open, hops: map[*chain.Hop]string{}, calls: map[*chain.Call]string{}, graph: &graph{}}
	for _, c := range chains {
		c.Root.Walk(func(h *chain.Hop, _ int) {
			d.hops[h] = fmt.Sprintf("h%d", len(d.hops))
			for i := range h.Calls {
				d.calls[&h.Calls[i]] = fmt.Sprintf("c%d", len(d.calls))
			}
		})
	}
	d.graph.Hops, d.graph.Calls = len(d.hops), len(d.calls)
	bottom := margin
	for _, c := range chains {
		b := d.hop(c.Root)
		b.measure()
		d.graph.place(b, margin, bottom)
		bottom += b.size + 2*gapY
	}
	d.graph.finish()
	return d.graph
}

// opened tells whether what is below a token is drawn one by one.
func (d *drawer) opened(id string) bool {
	return slices.Contains(d.open, id) || slices.Contains(d.open, openAll)
}

// hop makes the box of a token, and those below it.
func (d *drawer) hop(h *chain.Hop) *box {
	id := d.hops[h]
	holder := h.Holder()
	n := &node{ID: id, Kind: "hop", Type: string(holder.Type), W: hopWidth, Title: nameOf(holder), Hop: h, Missing: h.Missing, Problems: h.Problems,
		From: h.Known(), To: h.ExpiresAt, Focus: began(h, d.start)}
	if h.RevokedAt != 0 && (n.To == 0 || h.RevokedAt < n.To) {
		n.To = h.RevokedAt
	}
	if h.Actor != (event.Party{}) {
		n.Lines = append(n.Lines, "for "+nameOf(h.Subject)+typed(h.Subject))
	}
	n.Lines = append(n.Lines, tokenWords(h))
	switch {
	case h.Missing != nil:
		n.Lines = append(n.Lines, h.Missing.What)
		if words := h.Missing.Reason.Words(); words != "" {
			n.Lines = append(n.Lines, "("+words+")")
		}
	case len(h.Scope) > 0:
		n.Lines = append(n.Lines, strings.Join(h.Scope, " "))
		if delta := scopeDelta(h); delta != "" {
			n.Lines = append(n.Lines, delta)
		}
	}
	n.H = row(len(n.Lines)) - 6
	b := &box{node: n, edge: joined(h.Join, h.Strength), unsure: h.Join != "" && h.Strength != chain.Certain}
	b.below = append(d.callsOf(h, id), d.childrenOf(h, id)...)
	return b
}

// call makes the boxes of a call and of the decision on it.
func (d *drawer) call(c *chain.Call) *box {
	id := d.calls[c]
	n := &node{ID: id, Kind: "call", Type: string(c.Outcome), W: callWidth, H: callHeight, Title: c.Tool, Lines: []string{"at " + serverOf(c) + ", " + string(c.Outcome)},
		From: c.Time, Problems: c.Problems, Call: c, Focus: c.Event == d.start || c.TraceID != "" && c.TraceID == d.start}
	return &box{node: n, decision: d.decision(c, id), edge: joined(c.Join, c.Strength), unsure: c.Strength != chain.Certain}
}

// decision is the box in front of a call; dashed where none was seen.
func (d *drawer) decision(c *chain.Call, call string) *node {
	n := &node{ID: "d" + strings.TrimPrefix(call, "c"), Section: call, Kind: "decision", W: decisionWidth, H: callHeight, Call: c, Missing: c.Missing, From: c.Time}
	if c.Decision == nil {
		n.Type, n.Title = "none", "no decision"
		if c.Missing != nil {
			n.Lines = []string{c.Missing.Reason.Words()}
		}
		return n
	}
	n.Type, n.Title, n.From, n.Focus = string(c.Decision.Effect), string(c.Decision.Effect), c.Decision.Time, c.Decision.Event == d.start
	n.Lines = []string{strings.TrimSpace(c.Decision.Engine + " " + c.Decision.Policy)}
	return n
}
