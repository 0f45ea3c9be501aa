package proof

import (
	"errors"
	"fmt"
	"math/bits"
	"sort"

	"golang.org/x/mod/sumdb/tlog"
)

// One proof serves all leaves of a tree that a bundle lists: the hashes of those
// subtrees that have none of them, from left to right. A verifier goes down from
// the root as RFC 6962, section 2.1, divides a tree, takes the next hash where a
// subtree has no leaf of the list, and has used all of them in the end. So inner
// nodes that several leaves have in common are there once, and a range needs two
// hashes for each level at most.

// Leaf is a record that a bundle lists.
type Leaf struct {
	Index  uint64
	Hash   Hash
	Length uint64 // of its bytes, where it is disclosed
	Open   bool   // it is disclosed
}

// span is a subtree by its leaves, to exclusive.
type span struct{ from, to uint64 }

// split is the first leaf of the right half.
func (s span) split() uint64 { return s.from + 1<<(bits.Len64(s.to-s.from-1)-1) }

// divide shares leaves among the halves.
func (s span) divide(leaves []Leaf) (left, right []Leaf) {
	at := s.split()
	i := sort.Search(len(leaves), func(i int) bool { return leaves[i].Index >= at })
	return leaves[:i], leaves[i:]
}

// climb computes the root of a tree.
type climb struct {
	nodes []Hash
	used  int
	keep  map[span]Hash // where every hash is remembered; nil: none
}

func (c *climb) root(s span, leaves []Leaf) (h Hash, ok bool) {
	switch {
	case len(leaves) == 0:
		if c.used == len(c.nodes) {
			return h, false
		}
		h = c.nodes[c.used]
		c.used++
	case s.to-s.from == 1:
		h = leaves[0].Hash
	default:
		left, right := s.divide(leaves)
		a, ok1 := c.root(span{s.from, s.split()}, left)
		b, ok2 := c.root(span{s.split(), s.to}, right)
		if !ok1 || !ok2 {
			return h, false
		}
		h = tlog.NodeHash(a, b)
	}
	if c.keep != nil {
		c.keep[s] = h
	}
	return h, true
}

var errNodes = errors.New("the proof has another number of hashes than the leaves need")

// rootOf computes the root of a tree of a size from leaves in their order and the
// hashes beside them.
func rootOf(size uint64, leaves []Leaf, nodes []Hash, keep map[span]Hash) (Hash, error) {
	c := climb{nodes: nodes, keep: keep}
	h, ok := c.root(span{0, size}, leaves)
	if !ok || c.used != len(nodes) {
		return h, errNodes
	}
	return h, nil
}

// inclusion is the proof of one leaf, from what rootOf kept.
func inclusion(size, index uint64, kept map[span]Hash) (tlog.RecordProof, error) {
	var down []Hash
	for s := (span{0, size}); s.to-s.from > 1; {
		left, right := span{s.from, s.split()}, span{s.split(), s.to}
		beside := right
		if s = left; index >= right.from {
			s, beside = right, left
		}
		h, ok := kept[beside]
		if !ok {
			return nil, fmt.Errorf("leaf %d is not in the bundle", index)
		}
		down = append(down, h)
	}
	p := make(tlog.RecordProof, len(down))
	for i, h := range down {
		p[len(down)-1-i] = h
	}
	return p, nil
}

// beside lists the subtrees that have none of the leaves.
func beside(s span, leaves []Leaf, out []span) []span {
	if len(leaves) == 0 {
		return append(out, s)
	}
	if s.to-s.from == 1 {
		return out
	}
	left, right := s.divide(leaves)
	return beside(span{s.split(), s.to}, right, beside(span{s.from, s.split()}, left, out))
}

// perfect appends the complete subtrees of which one consists.
func (s span) perfect(out []int64) []int64 {
	n := s.to - s.from
	if n&(n-1) == 0 {
		level := bits.TrailingZeros64(n)
		return append(out, tlog.StoredHashIndex(level, int64(s.from>>level)))
	}
	return span{s.split(), s.to}.perfect(span{s.from, s.split()}.perfect(out))
}

// join computes the root of complete subtrees that perfect listed, and how many
// there were.
func (s span) join(hashes []Hash) (Hash, int) {
	n := s.to - s.from
	if n&(n-1) == 0 {
		return hashes[0], 1
	}
	a, i := span{s.from, s.split()}.join(hashes)
	b, j := span{s.split(), s.to}.join(hashes[i:])
	return tlog.NodeHash(a, b), i + j
}

// nodesBeside reads the hashes beside leaves.
func nodesBeside(size uint64, leaves []Leaf, r tlog.HashReader) ([]Hash, error) {
	spans := beside(span{0, size}, leaves, nil)
	var want []int64
	for _, s := range spans {
		want = s.perfect(want)
	}
	hashes, err := r.ReadHashes(want)
	if err != nil {
		return nil, err
	}
	out := make([]Hash, len(spans))
	for i, s := range spans {
		h, n := s.join(hashes)
		out[i], hashes = h, hashes[n:]
	}
	return out, nil
}
