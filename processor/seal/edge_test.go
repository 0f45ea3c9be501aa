package seal_test

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
)

func leaf(i uint64) seal.Hash {
	return tlog.RecordHash(binary.BigEndian.AppendUint64(nil, i))
}

// reference is a whole tree in the layout of golang.org/x/mod/sumdb/tlog.
type reference []tlog.Hash

func (r *reference) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = (*r)[x]
	}
	return out, nil
}

func (r *reference) add(t testing.TB, n int64, h tlog.Hash) {
	t.Helper()
	hashes, err := tlog.StoredHashesForRecordHash(n, h, r)
	if err != nil {
		t.Fatal(err)
	}
	*r = append(*r, hashes...)
}

func (r *reference) root(t testing.TB, n int64) tlog.Hash {
	t.Helper()
	h, err := tlog.TreeHash(n, r)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestEdgeEqualsTlog(t *testing.T) {
	var ref reference
	var edge seal.Edge
	if edge.Root() != ref.root(t, 0) {
		t.Error("the empty tree differs")
	}
	var nodes []seal.Node
	for i := range uint64(5000) {
		ref.add(t, int64(i), leaf(i))
		nodes = edge.Append(leaf(i), nodes)
		if edge.Root() != ref.root(t, int64(i)+1) || edge.Size() != i+1 {
			t.Fatalf("the tree of %d leaves differs", i+1)
		}
		// A crash after any leaf.
		again, err := seal.ParseEdge(string(edge.AppendText(nil)))
		if err != nil || again != edge {
			t.Fatalf("the edge of %d leaves reads back as another: %v", i+1, err)
		}
	}
	seen := map[int64]bool{}
	for _, n := range nodes {
		at := tlog.StoredHashIndex(int(n.Level), int64(n.Index))
		if n.Level < seal.MinStoredLevel || seen[at] || ref[at] != n.Hash {
			t.Errorf("node %d of level %d is wrong", n.Index, n.Level)
		}
		seen[at] = true
	}
	if want := 5000/256 + 5000/512 + 5000/1024 + 5000/2048 + 5000/4096; len(nodes) != want {
		t.Errorf("%d nodes to store, want %d", len(nodes), want)
	}
}

// Many leaves at a time make the same tree and the same nodes as one by one,
// wherever they begin and end.
func TestAppendAll(t *testing.T) {
	var leaves []seal.Hash
	for i := range uint64(3000) {
		leaves = append(leaves, leaf(i))
	}
	for _, parts := range [][]int{{3000}, {256, 256, 2488}, {1, 2999}, {255, 1, 512, 2232}, {256, 255, 257, 2232}, {100, 200, 300, 2400}} {
		var one, many seal.Edge
		var wantNodes, nodes []seal.Node
		rest := leaves
		for _, n := range parts {
			for _, h := range rest[:n] {
				wantNodes = one.Append(h, wantNodes)
			}
			nodes = many.AppendAll(rest[:n], nodes)
			rest = rest[n:]
			if one != many || one.Root() != many.Root() || !slices.Equal(wantNodes, nodes) {
				t.Fatalf("%v: the tree of %d leaves is another", parts, one.Size())
			}
		}
	}
}

func TestEdgeIsAValue(t *testing.T) {
	var a seal.Edge
	a.Append(leaf(0), nil)
	b := a
	b.Append(leaf(1), nil)
	if want := leaf(0); a.Size() != 1 || a.Root() != want {
		t.Error("a copy changed its original")
	}
}

func TestEdgeText(t *testing.T) {
	full, err := seal.ParseEdge("70368744177663:" + strings.Repeat("A", (46*32*8+5)/6)) // 2^46-1
	if err != nil {
		t.Fatal(err)
	}
	if n := len(full.AppendText(nil)); n >= 2048 {
		t.Errorf("the text of %d leaves has %d bytes", full.Size(), n)
	}
	for name, text := range map[string]string{
		"nothing": "", "no size": ":", "sign": "+0", "leading zero": "00", "hash for none": "0:", "no hash": "1", "empty hash": "1:",
		"short hash": "1:AAAA", "padding": "1:" + strings.Repeat("A", 43) + "=", "loose bits": "1:" + strings.Repeat("A", 42) + "B",
		"line break": "1:" + strings.Repeat("A", 43) + "\n", "too large": "9223372036854775808:", "space": "1 :" + strings.Repeat("A", 43),
	} {
		if e, err := seal.ParseEdge(text); err == nil {
			t.Errorf("%s: %q reads as a tree of %d leaves", name, text, e.Size())
		}
	}
}

func FuzzParseEdge(f *testing.F) {
	var edge seal.Edge
	for i := range uint64(7) {
		f.Add(string(edge.AppendText(nil)))
		edge.Append(leaf(i), nil)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := seal.ParseEdge(text)
		if err != nil {
			return
		}
		if again := string(e.AppendText(nil)); again != text {
			t.Errorf("%q reads and is written as %q", text, again)
		}
		e.Root()
	})
}

func TestEdgeDoesNotAllocate(t *testing.T) {
	var edge seal.Edge
	h := leaf(0)
	nodes := make([]seal.Node, 0, 64)
	if n := testing.AllocsPerRun(2000, func() { nodes = edge.Append(h, nodes[:0]) }); n != 0 {
		t.Errorf("%v allocations per leaf", n)
	}
}

// BenchmarkSeal hashes a record of 900 bytes and appends it: all that sealing
// adds to a record's way.
func BenchmarkSeal(b *testing.B) {
	record := make([]byte, 901) // the first byte is RFC 6962's leaf prefix
	var edge seal.Edge
	nodes := make([]seal.Node, 0, 64)
	b.SetBytes(900)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint64(record[1:], uint64(i))
		nodes = edge.Append(sha256.Sum256(record), nodes[:0])
	}
}

// BenchmarkAppend is for a group of leaves.
func BenchmarkAppend(b *testing.B) {
	nodes := make([]seal.Node, 0, 64)
	leaves := make([]seal.Hash, seal.Group)
	b.Run("by=one", func(b *testing.B) {
		var edge seal.Edge
		b.ReportAllocs()
		for b.Loop() {
			for _, h := range leaves {
				nodes = edge.Append(h, nodes[:0])
			}
		}
	})
	b.Run("by=all", func(b *testing.B) {
		var edge seal.Edge
		b.ReportAllocs()
		for b.Loop() {
			nodes = edge.AppendAll(leaves, nodes[:0])
		}
	})
}

func TestAppendNode(t *testing.T) {
	var leaves, nodes seal.Edge
	var stored []seal.Node
	for i := range uint64(256 * 21) {
		stored = leaves.Append(leaf(i), stored[:0])
		if len(stored) > 0 {
			nodes.AppendNode(stored[0].Level, stored[0].Hash)
			if nodes != leaves {
				t.Fatalf("of nodes, the tree of %d leaves is another", i+1)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a subtree was appended where none can be")
		}
	}()
	leaves.Append(leaf(0), nil)
	leaves.AppendNode(8, leaf(0))
}
