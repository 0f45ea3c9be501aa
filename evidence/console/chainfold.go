package console

import (
	"fmt"
	"slices"
	"strings"

	"github.com/custody-audit/custody/processor/chain"
	"github.com/custody-audit/custody/schemas/event"
)

// callsOf are the calls below a token: alike ones together where there are many.
func (d *drawer) callsOf(h *chain.Hop, id string) []*box {
	if len(h.Calls) <= foldOver || d.opened(id) {
		out := make([]*box, len(h.Calls))
		for i := range h.Calls {
			out[i] = d.call(&h.Calls[i])
		}
		return out
	}
	var order []string
	alike := map[string][]foldedCall{}
	for i := range h.Calls {
		c := &h.Calls[i]
		key := d.alike(c)
		if alike[key] == nil {
			order = append(order, key)
		}
		alike[key] = append(alike[key], foldedCall{d.calls[c], c})
	}
	var rest []foldedCall
	var out []*box
	for i, key := range d.telling(order, alike) {
		if i >= foldOver {
			rest = append(rest, alike[key]...)
			continue
		}
		out = append(out, d.foldCalls(alike[key], id))
	}
	if len(rest) > 0 {
		n := &node{ID: "f" + strings.TrimPrefix(id, "h"), Kind: "fold", W: callWidth, H: callHeight, Title: fmt.Sprintf("and %d other calls", len(rest)), Calls: rest, Fold: id, From: rest[0].Time}
		d.graph.Folded += len(rest)
		out = append(out, &box{node: n})
	}
	return out
}

// alike says what calls of one fold have in common.
func (d *drawer) alike(c *chain.Call) string {
	key := []string{c.Tool, serverOf(c), string(c.Outcome), string(c.Join)}
	if c.Decision != nil {
		key = append(key, string(c.Decision.Effect), c.Decision.Engine, c.Decision.Policy, c.Decision.Version)
	}
	if callBegan(c, d.start) {
		key = append(key, c.Event)
	}
	return strings.Join(append(key, c.Problems...), "\x00")
}

// telling puts first what the question began with and what is wrong.
func (d *drawer) telling(order []string, alike map[string][]foldedCall) []string {
	rank := func(key string) int {
		c := alike[key][0]
		switch {
		case callBegan(c.Call, d.start):
			return 0
		case len(c.Problems) > 0 || c.Missing != nil:
			return 1
		case c.Outcome == event.Denied:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(order, func(a, b string) int { return rank(a) - rank(b) })
	return order
}

// foldCalls is the box of calls that are alike.
func (d *drawer) foldCalls(calls []foldedCall, id string) *box {
	b := d.call(calls[0].Call)
	if len(calls) == 1 {
		return b
	}
	n := b.node
	b.decision.Section = "" // the first call's decision is not that of all
	n.Kind, n.Title, n.Calls, n.Fold = "fold", fmt.Sprintf("%d × %s", len(calls), n.Title), calls, id
	d.graph.Folded += len(calls) - 1
	return b
}

// childrenOf are the tokens below a token: of many, those that lead to the start
// or to something wrong, and the earliest.
func (d *drawer) childrenOf(h *chain.Hop, id string) []*box {
	shown := h.Children
	var folded []*chain.Hop
	if len(shown) > foldOver && !d.opened(id) {
		shown = slices.Clone(shown)
		slices.SortStableFunc(shown, func(a, b *chain.Hop) int { return d.weight(a) - d.weight(b) })
		shown, folded = shown[:foldOver], shown[foldOver:]
	}
	var out []*box
	for _, child := range shown {
		out = append(out, d.hop(child))
	}
	if len(folded) > 0 {
		n := &node{ID: "g" + strings.TrimPrefix(id, "h"), Kind: "fold", W: callWidth, H: callHeight, Title: fmt.Sprintf("and %d other tokens", len(folded)), Fold: id, From: folded[0].Known()}
		for _, f := range folded {
			f.Walk(func(below *chain.Hop, _ int) {
				d.graph.Folded += 1 + len(below.Calls)
				for i := range below.Calls {
					n.Calls = append(n.Calls, foldedCall{d.calls[&below.Calls[i]], &below.Calls[i]})
				}
			})
		}
		out = append(out, &box{node: n})
	}
	return out
}

// weight is 0 for what leads to the start, 1 to something wrong, else 2.
func (d *drawer) weight(h *chain.Hop) int {
	least := 2
	h.Walk(func(below *chain.Hop, _ int) {
		if began(below, d.start) {
			least = 0
		}
		if len(below.Problems) > 0 || below.Missing != nil {
			least = min(least, 1)
		}
		for i := range below.Calls {
			c := &below.Calls[i]
			if callBegan(c, d.start) {
				least = 0
			}
			if len(c.Problems) > 0 {
				least = min(least, 1)
			}
		}
	})
	return least
}
