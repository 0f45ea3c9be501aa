package reconcile

import (
	"github.com/custody-audit/custody/processor/seal"
)

// group is a run of up to 256 leaves as they are stored, with the node over them.
type group struct {
	from, n  uint64
	leaves   [groupSize]leaf
	node     *seal.Hash // stored; nil for none
	nodes    int        // different hashes stored in its place
	complete bool       // no leaf is missing
	chosen   [groupSize]seal.Hash
	computed seal.Hash // of chosen, when the group is whole and complete
}

// leaf is what is stored at one offset.
type leaf struct {
	row
	count int
	more  []row      // beyond the first, when their bytes differ from its
	left  *seal.Hash // what a signed record of its deletion left of it
}

// row is what is stored of one record.
type row struct {
	hash   seal.Hash  // of its bytes
	beside *seal.Hash // the leaf hash beside them, when it is another
}

func (l *leaf) add(r row) {
	if l.count++; l.count == 1 {
		l.row = r
	} else if r.hash != l.hash || r.beside != nil {
		l.more = append(l.more, r)
	}
}

// settle takes what is left of a record for it where there is none. A row that is
// there is one that is about to be deleted, or that somebody put there since.
func (l *leaf) settle() {
	if l.left != nil && (l.count == 0 || l.hash != *l.left) {
		l.add(row{hash: *l.left})
	}
}

func (l *leaf) different() bool {
	for i := range l.more {
		if l.more[i].hash != l.hash {
			return true
		}
	}
	return false
}

func (l *leaf) unsound() bool {
	for i := range l.more {
		if l.more[i].beside != nil {
			return true
		}
	}
	return l.beside != nil
}

// options are the hashes that the leaf may have had: of the bytes that are
// there, and what stands beside them.
func (l *leaf) options() []seal.Hash {
	rows := append([]row{l.row}, l.more...)
	var out []seal.Hash
	for _, r := range rows {
		out = append(out, r.hash)
	}
	for _, r := range rows {
		if r.beside != nil {
			out = append(out, *r.beside)
		}
	}
	return out
}

// settle chooses, where there are several, the leaves that the node is over, and
// returns the runs of leaves that are missing.
func (g *group) settle() (missing []span) {
	for i := range g.n {
		g.leaves[i].settle()
		if g.leaves[i].count == 0 {
			missing = append(missing, span{g.from + i, g.from + i + 1})
		}
		g.chosen[i] = g.leaves[i].hash
	}
	if g.complete = len(missing) == 0; !g.complete || g.n < groupSize {
		return missing
	}
	g.computed = node(g.chosen[:])
	if g.node == nil || g.computed == *g.node {
		return nil
	}
	g.variants(func(leaves []seal.Hash) bool {
		if h := node(leaves); h == *g.node {
			copy(g.chosen[:], leaves)
			g.computed = h
			return true
		}
		return false
	})
	return nil
}

// maxVariants bounds the choices that are tried of a group.
const maxVariants = 64

// variants tries the choices of leaves where there are several, until one fits:
// all first ones, all last ones, and then combinations.
func (g *group) variants(fits func([]seal.Hash) bool) bool {
	var open []int
	options := map[int][]seal.Hash{}
	leaves := make([]seal.Hash, g.n)
	for i := range g.leaves[:g.n] {
		l := &g.leaves[i]
		leaves[i] = l.hash
		if len(l.more) > 0 || l.beside != nil {
			open, options[i] = append(open, i), l.options()
		}
	}
	if fits(leaves) {
		return true
	}
	for _, i := range open {
		leaves[i] = options[i][len(options[i])-1]
	}
	if len(open) == 0 || fits(leaves) {
		return len(open) > 0
	}
	for try := range maxVariants {
		rest := try
		for _, i := range open {
			leaves[i] = options[i][rest%len(options[i])]
			rest /= len(options[i])
		}
		if fits(leaves) {
			return true
		}
	}
	return false
}

// node is the hash over leaves.
func node(leaves []seal.Hash) seal.Hash {
	var e seal.Edge
	for _, h := range leaves {
		e.Append(h, nil)
	}
	return e.Root()
}

// hashes are what a whole group adds to the tree of nodes and that of records;
// where one of the two is not there, the other stands for it.
func (g *group) hashes() (byNode, byRecords seal.Hash, ok bool) {
	switch {
	case g.node == nil && !g.complete:
		return byNode, byRecords, false
	case g.node == nil:
		return g.computed, g.computed, true
	case !g.complete:
		return *g.node, *g.node, true
	}
	return *g.node, g.computed, true
}

// lead tells whether the trees before the group, continued by it, meet a mark
// that ends in it. It cannot tell when leaves that it takes are missing.
func (g *group) lead(nodes, records seal.Edge, mark seal.Checkpoint) (byNodes, byRecords, ok bool) {
	if mark.Size == g.from+groupSize {
		n, r, ok := g.hashes()
		if ok {
			nodes.AppendNode(seal.MinStoredLevel, n)
			records.AppendNode(seal.MinStoredLevel, r)
		}
		return nodes.Root() == mark.Root, records.Root() == mark.Root, ok
	}
	k := mark.Size - g.from
	for i := range g.leaves[:k] {
		if g.leaves[i].count == 0 {
			return false, false, false
		}
	}
	g.variants(func(leaves []seal.Hash) bool {
		byNodes, byRecords = leadsTo(nodes, leaves[:k], mark), leadsTo(records, leaves[:k], mark)
		return byNodes || byRecords
	})
	return byNodes, byRecords, true
}

// leadsTo tells whether a tree with these leaves more has a mark's root.
func leadsTo(e seal.Edge, leaves []seal.Hash, mark seal.Checkpoint) bool {
	for _, h := range leaves {
		e.Append(h, nil)
	}
	return e.Root() == mark.Root
}
