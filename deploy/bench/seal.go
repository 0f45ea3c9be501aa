package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/custody-audit/custody/processor/digest"
	"github.com/custody-audit/custody/processor/seal"
)

// seal returns what sealing adds to an event, in microseconds of CPU: its leaf
// hash and the growth of the tree. The processor hashes two messages at a time,
// a record's leaf and its content; here they are two leaves, and an event's share
// is half. It is the median of five passes over the workload's own records, on one core.
func (r *runner) seal() float64 {
	const n, rounds = 40 * seal.Group, 10
	var records [][]byte
	for _, e := range r.w.Batch(nil, 0, n) {
		records = append(records, e.AppendCanonical([]byte{0})) // RFC 6962's prefix of a leaf
	}
	var passes []float64
	for range 5 {
		var edge seal.Edge
		nodes := make([]seal.Node, 0, 16)
		leaves := make([]seal.Hash, seal.Group)
		began := selfCPU() // beside other work the clock would say too much
		for range rounds {
			for group := range slices.Chunk(records, seal.Group) {
				for i := 0; i+1 < len(group); i += 2 {
					leaves[i], leaves[i+1] = digest.Two(group[i], group[i+1])
				}
				nodes = edge.AppendAll(leaves[:len(group)], nodes[:0])
			}
		}
		passes = append(passes, (selfCPU()-began).Seconds()*1e6/(n*rounds))
	}
	return middle(passes)
}

// selfCPU is the CPU time of this process so far.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// sealBytes stores the nodes of a tree of a million leaves as the processor does
// and returns what they take on disk for a leaf, when they are merged.
func (r *runner) sealBytes(ctx context.Context) (float64, error) {
	const database, leaves = "custody", 1 << 20
	if err := errors.Join(r.empty(ctx, database), r.migrate(ctx, database)); err != nil {
		return 0, err
	}
	conn, err := r.open(database)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	var edge seal.Edge
	var nodes []seal.Node
	for i := range uint64(leaves) {
		nodes = edge.Append(sha256.Sum256(binary.BigEndian.AppendUint64(nil, i)), nodes)
	}
	tree := seal.Tree{Topic: custodyTopic(custodyPrefix), Epoch: "0123456789abcdef"}
	if err := seal.NewStore(conn).PutNodes(ctx, []seal.TreeNodes{{Tree: tree, Nodes: nodes}}); err != nil {
		return 0, err
	}
	if err := conn.Exec(ctx, "OPTIMIZE TABLE tree_nodes FINAL"); err != nil {
		return 0, fmt.Errorf("merge the nodes: %w", err)
	}
	var bytes uint64
	err = conn.QueryRow(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'tree_nodes'").Scan(&bytes)
	if err != nil {
		return 0, fmt.Errorf("size of the nodes: %w", err)
	}
	return float64(bytes) / leaves, r.drop(ctx, database)
}
