package console

import (
	"slices"

	"github.com/custody-audit/custody/schemas/event"
)

// Sizes of the drawing, in its units: pixels, until somebody zooms.
const (
	hopWidth              = 264
	callWidth, callHeight = 210, 44
	decisionWidth         = 152
	gapX, gapY            = 44, 12
	margin                = 12
)

// box is a node with what hangs below it. A chain is a tree, so each box has a
// strip of the drawing for itself and what is below it, and nothing can lie over
// anything: that is all the layout it takes.
type box struct {
	node     *node
	decision *node // in front of it
	edge     string
	unsure   bool
	below    []*box
	size     int // height of its strip
}

// measure finds the height of each strip.
func (b *box) measure() {
	for _, c := range b.below {
		c.measure()
	}
	b.size = max(b.node.H, b.height())
}

// height of what is below.
func (b *box) height() (h int) {
	for i, c := range b.below {
		if i > 0 {
			h += gapY
		}
		h += c.size
	}
	return h
}

// place puts a box in the middle of its strip, and what is below on the right of it.
func (g *graph) place(b *box, x, y int) {
	left := b.node
	if b.decision != nil {
		left = b.decision
		g.put(left, x, y+(b.size-left.H)/2)
		x += left.W + gapX/2
	}
	g.put(b.node, x, y+(b.size-b.node.H)/2)
	if left != b.node {
		g.join(left, &box{node: b.node})
	}
	y += (b.size - b.height()) / 2
	for _, c := range b.below {
		g.place(c, x+b.node.W+gapX, y)
		g.join(b.node, c)
		y += c.size + gapY
	}
}

func (g *graph) put(n *node, x, y int) {
	n.X, n.Y = x, y
	if n.Section == "" {
		n.Section = n.ID
	}
	g.Nodes = append(g.Nodes, n)
	g.Width, g.Height = max(g.Width, x+n.W+margin), max(g.Height, y+n.H+margin)
}

// join draws the line to a box, or to the decision in front of it.
func (g *graph) join(from *node, to *box) {
	end := to.node
	if to.decision != nil {
		end = to.decision
	}
	g.Lines = append(g.Lines, line{from.X + from.W, from.Y + from.H/2, end.X, end.Y + end.H/2, end, to.unsure, to.edge})
}

// finish collects the moments.
func (g *graph) finish() {
	seen := map[event.Time]bool{}
	for _, n := range g.Nodes {
		if n.From != 0 && !seen[n.From] {
			seen[n.From] = true
			g.Moments = append(g.Moments, n.From)
		}
	}
	slices.Sort(g.Moments)
}
