package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/digest"
)

// Hash is a SHA-256 hash of a tree.
type Hash = tlog.Hash

// MinStoredLevel is the level from which nodes are stored: one node for 256
// leaves. What lies below is computed again from leaf hashes when it is asked for.
const MinStoredLevel = 8

// levels bounds the height: Kafka offsets have 63 bits.
const levels = 63

// Node is a node of a tree whose leaves are complete; it never changes.
type Node struct {
	Level uint8 // 0 is a leaf
	Index uint64
	Hash  Hash
}

// Edge is the right edge of a tree: the roots of the complete subtrees of which
// its leaves consist, which is all that growing needs. The zero value is the
// empty tree. A copy is a tree of its own, and == compares trees. It is not safe
// for concurrent use.
type Edge struct {
	size uint64
	// hashes[l] is a subtree of 2^l leaves, zero where bit l of size is not set.
	// The subtrees lie from left to right as their levels fall.
	hashes [levels]Hash
}

// Size returns the number of leaves.
func (e *Edge) Size() uint64 { return e.size }

// Append adds a leaf by its hash and appends to nodes those that it completes
// and that are stored, lower levels first. It allocates only to grow nodes.
func (e *Edge) Append(leaf Hash, nodes []Node) []Node { return e.grow(0, leaf, nodes) }

// grow adds a complete subtree of 2^level leaves; the size is a multiple of that.
func (e *Edge) grow(level uint8, h Hash, nodes []Node) []Node {
	index := e.size >> level
	e.size += 1 << level
	for {
		if level >= MinStoredLevel {
			nodes = append(nodes, Node{Level: level, Index: index, Hash: h})
		}
		if index&1 == 0 {
			e.hashes[level] = h
			return nodes
		}
		h = tlog.NodeHash(e.hashes[level], h)
		e.hashes[level] = Hash{}
		level++
		index >>= 1
	}
}

// Group is how many leaves there are below a node of MinStoredLevel.
const Group = 1 << MinStoredLevel

// AppendAll adds leaves as Append does one by one. Whole groups cost half as
// much, because their nodes are hashed two by two.
func (e *Edge) AppendAll(leaves []Hash, nodes []Node) []Node {
	for len(leaves) > 0 {
		if e.size%Group == 0 && len(leaves) >= Group {
			nodes = e.grow(MinStoredLevel, groupRoot(leaves[:Group]), nodes)
			leaves = leaves[Group:]
			continue
		}
		nodes = e.Append(leaves[0], nodes)
		leaves = leaves[1:]
	}
	return nodes
}

// groupRoot is the node above a group of leaves.
func groupRoot(leaves []Hash) Hash {
	var level [Group / 2]Hash
	pairs(level[:], leaves)
	for n := Group / 4; n > 1; n /= 2 {
		pairs(level[:n], level[:2*n])
	}
	return tlog.NodeHash(level[0], level[1])
}

// pairs makes nodes of the level below, two at a time; they may be the same memory.
func pairs(nodes, below []Hash) {
	var a, b [1 + 2*tlog.HashSize]byte
	a[0], b[0] = nodePrefix, nodePrefix
	for i := 0; i+1 < len(nodes); i += 2 {
		of := below[2*i : 2*i+4]
		copy(a[1:], of[0][:])
		copy(a[1+tlog.HashSize:], of[1][:])
		copy(b[1:], of[2][:])
		copy(b[1+tlog.HashSize:], of[3][:])
		nodes[i], nodes[i+1] = digest.Two(a[:], b[:])
	}
}

// nodePrefix stands before what a node is hashed of (RFC 6962, section 2.1).
const nodePrefix = 1

// Nodes returns the subtrees that are stored, of which the edge consists but for
// its last 255 leaves.
func (e *Edge) Nodes() []Node {
	var nodes []Node
	for left := e.size >> MinStoredLevel << MinStoredLevel; left != 0; left &= left - 1 {
		level := bits.TrailingZeros64(left)
		nodes = append(nodes, Node{Level: uint8(level), Index: e.size>>level - 1, Hash: e.hashes[level]})
	}
	return nodes
}

// Root returns the tree's hash (RFC 6962, section 2.1); that of the empty tree
// is the hash of nothing.
func (e *Edge) Root() Hash {
	if e.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // needs no reader
		return h
	}
	left := e.size
	level := bits.TrailingZeros64(left)
	h := e.hashes[level]
	for left &= left - 1; left != 0; left &= left - 1 {
		h = tlog.NodeHash(e.hashes[bits.TrailingZeros64(left)], h)
	}
	return h
}

// textEncoding has neither padding nor two texts for one value.
var textEncoding = base64.RawURLEncoding.Strict()

// AppendText appends the edge as "size" or "size:hashes", the largest subtree
// first. It has no space and no "=" and needs 44 bytes for every set bit of the
// size: below 2 KiB for fewer than 2^46 leaves, below 3 KiB always, of the 4 KiB
// that Kafka keeps with an offset.
func (e *Edge) AppendText(b []byte) []byte {
	b = strconv.AppendUint(b, e.size, 10)
	if e.size == 0 {
		return b
	}
	var raw [levels * tlog.HashSize]byte
	n := 0
	for left := e.size; left != 0; {
		level := bits.Len64(left) - 1
		n += copy(raw[n:], e.hashes[level][:])
		left &^= 1 << level
	}
	return textEncoding.AppendEncode(append(b, ':'), raw[:n])
}

// ParseEdge reads what AppendText wrote, and nothing else.
func ParseEdge(text string) (Edge, error) {
	var e Edge
	number, hashes, found := strings.Cut(text, ":")
	size, err := strconv.ParseUint(number, 10, levels)
	if err != nil || strconv.FormatUint(size, 10) != number || found != (size > 0) {
		return e, errors.New("edge: it does not begin with a size in decimal")
	}
	raw, err := textEncoding.DecodeString(hashes)
	if err != nil || strings.ContainsAny(hashes, "\r\n") { // which the decoder skips
		return e, errors.New("edge: its hashes are not base64url without padding")
	}
	if want := bits.OnesCount64(size) * tlog.HashSize; len(raw) != want {
		return e, fmt.Errorf("edge: its hashes have %d bytes, a tree of %d leaves has %d", len(raw), size, want)
	}
	e.size = size
	for left := size; left != 0; {
		level := bits.Len64(left) - 1
		raw = raw[copy(e.hashes[level][:], raw):]
		left &^= 1 << level
	}
	return e, nil
}

// AppendNode adds a complete subtree of 2^level leaves by its hash. The size must
// be a multiple of 2^level.
func (e *Edge) AppendNode(level uint8, h Hash) {
	if e.size&(1<<level-1) != 0 {
		panic(fmt.Sprintf("seal: a subtree of level %d appended at size %d", level, e.size))
	}
	e.grow(level, h, nil)
}
