package reconcile

import (
	"github.com/custody-audit/custody/processor/seal"
)

// groupSize is how many leaves a stored node of the lowest level has.
const groupSize = 1 << seal.MinStoredLevel

// cursor goes over one tree, group by group, and holds it against its marks.
//
// Where a group's records and its stored node differ, either was changed. So it
// grows two trees, one of the nodes and one of the records, and the next mark
// says which is right.
type cursor struct {
	tree   seal.Tree
	marks  []seal.Checkpoint // by size; what was held against is gone from it
	whole  uint64            // size of the last mark
	ends   []uint64          // sizes of all marks
	closed bool              // it does not grow any more
	at     uint64            // leaf to look at next, a multiple of groupSize before the end

	nodes, records seal.Edge // up to at
	broken         bool      // neither can be continued; roots are not compared any more
	doubts         []span    // groups in which the two differ, since the last mark
	good           point     // of the last mark that was met
	bad            *bad      // a mark that neither tree meets
	found          []Discrepancy
}

// span is a range of leaves, to exclusive.
type span struct{ from, to uint64 }

// bad is a mark that was not met, and the last that was.
type bad struct {
	after point
	mark  seal.Checkpoint
}

func newCursor(t seal.Tree) *cursor { return &cursor{tree: t} }

// size is how many leaves are to be looked at in all.
func (c *cursor) size() uint64 { return c.whole }

// aim sets the marks, by size.
func (c *cursor) aim(marks []seal.Checkpoint) {
	c.marks, c.whole, c.ends = marks, 0, nil
	for _, m := range marks {
		c.whole, c.ends = m.Size, append(c.ends, m.Size)
	}
}

// begin starts at a point that was in order before, and drops the marks up to there.
func (c *cursor) begin(p point) {
	c.nodes, c.records, c.good = p.edge, p.edge, p
	c.at, c.broken = p.edge.Size(), p.broken
	if p.broken {
		c.at = p.size &^ (groupSize - 1)
	}
	for len(c.marks) > 0 && c.marks[0].Size <= p.size {
		c.marks = c.marks[1:]
	}
}

func (c *cursor) report(kind Kind, from, to uint64, detail string) {
	c.found = append(c.found, discrepancy(kind, c.tree, c.tree.Base+from, c.tree.Base+to, detail))
}

// take looks at the next group, which has all of the tree's rows there and the
// node that is stored for it.
func (c *cursor) take(g *group) {
	if g.n < groupSize {
		g.node = nil // not complete when the mark was signed, and no part of what is held against it
	}
	c.rows(g)
	for len(c.marks) > 0 && c.marks[0].Size <= c.at+g.n {
		c.meet(g, c.marks[0])
		c.marks = c.marks[1:]
	}
	if g.n == groupSize {
		c.grow(g)
	}
	c.at += g.n
}

// rows reports what the rows of a group show by themselves.
func (c *cursor) rows(g *group) {
	for _, s := range g.settle() {
		c.report(Deleted, s.from, s.to, "records are not there")
	}
	if g.nodes > 1 {
		c.report(Nodes, g.from, g.from+g.n, "a node is stored with different hashes")
	}
	for i := range g.leaves[:g.n] {
		l := &g.leaves[i]
		at := g.from + uint64(i)
		switch {
		case l.different():
			c.report(Inserted, at, at+1, "a second row with other bytes at the same offset")
		case l.count > 1:
			c.report(Duplicated, at, at+1, "the same row several times")
		}
		if l.unsound() {
			c.report(Edited, at, at+1, "the record's bytes and the leaf hash beside them do not agree")
		}
	}
}

// grow appends a whole group to both trees.
func (c *cursor) grow(g *group) {
	byNode, byRecords, ok := g.hashes()
	if !ok {
		c.broken = true // from here on there is nothing to go by
		return
	}
	if byNode != byRecords {
		c.doubts = append(c.doubts, span{g.from, g.from + g.n})
	}
	if !c.broken {
		c.nodes.AppendNode(seal.MinStoredLevel, byNode)
		c.records.AppendNode(seal.MinStoredLevel, byRecords)
	}
}

// meet holds the trees against a mark that ends in a group.
func (c *cursor) meet(g *group, mark seal.Checkpoint) {
	if c.broken || c.bad != nil {
		return
	}
	nodes, records, ok := g.lead(c.nodes, c.records, mark)
	switch {
	case !ok:
		c.broken = g.n < groupSize // the last records are missing, which is said; else a later mark tells
		return
	case nodes:
		c.settled(Edited, edited)
		c.records = c.nodes
	case records:
		c.settled(Nodes, "stored nodes are not those of the records, which are in order")
		c.nodes = c.records
	default:
		c.bad = &bad{c.good, mark}
		c.settled(Edited, edited)
		return
	}
	c.good = point{edge: c.nodes, size: mark.Size}
}

const edited = "the records of this group are not those that were sealed"

// settled says what the groups in doubt were.
func (c *cursor) settled(kind Kind, detail string) {
	for _, s := range c.doubts {
		c.report(kind, s.from, s.to, detail)
	}
	c.doubts = nil
}
