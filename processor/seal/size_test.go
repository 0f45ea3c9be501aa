package seal_test

import (
	"encoding/binary"
	"testing"

	"github.com/custody-audit/custody/processor/seal"
)

// A million records cost at most 0.3 stored bytes each: half of the nodes are on
// level 8, and their hashes do not compress.
func TestStoredBytes(t *testing.T) {
	b := newBench(t)
	store := seal.NewStore(b.writer)
	const partitions, block, blocks = 4, 10_000, 25
	var edges [partitions]seal.Edge
	for i := range uint64(blocks) {
		var trees []seal.TreeNodes
		for p := range edges {
			var nodes []seal.Node
			for j := range uint64(block) {
				nodes = edges[p].Append(seal.Hash(binary.BigEndian.AppendUint64(make([]byte, 24), i<<32+j)), nodes)
			}
			trees = append(trees, seal.TreeNodes{Tree: seal.Tree{Topic: "custody.events", Partition: p, Epoch: "00c0ffee00c0ffee"}, Nodes: nodes})
		}
		if err := store.PutNodes(t.Context(), trees); err != nil {
			t.Fatal(err)
		}
	}
	b.admin("OPTIMIZE TABLE tree_nodes FINAL")
	bytes := b.count("SELECT sum(bytes_on_disk) FROM system.parts WHERE database = 'custody' AND table = 'tree_nodes' AND active")
	per := float64(bytes) / (partitions * block * blocks)
	t.Logf("%d nodes, %d bytes: %.3f per record", b.count("SELECT count() FROM tree_nodes"), bytes, per)
	if per > 0.3 {
		t.Errorf("%.3f bytes per record, want at most 0.3", per)
	}
}
