package seal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrMissing says that a hash of a tree is not in ClickHouse.
var ErrMissing = errors.New("not stored")

// ProveInclusion proves that the leaf of an index is in the tree of a size
// (RFC 6962, section 2.1.1). It rests on what is stored, so a proof that does
// not verify against a signed checkpoint is a sign of tampering.
func (s *Store) ProveInclusion(ctx context.Context, t Tree, size, index uint64) (tlog.RecordProof, error) {
	p, err := tlog.ProveRecord(int64(size), int64(index), s.Reader(ctx, t))
	if err != nil {
		return nil, fmt.Errorf("prove offset %d of %s: %w", t.Base+index, t, err)
	}
	return p, nil
}

// ProveConsistency proves that a tree of one size begins with that of another
// (RFC 6962, section 2.1.2).
func (s *Store) ProveConsistency(ctx context.Context, t Tree, old, size uint64) (tlog.TreeProof, error) {
	if old == 0 {
		return nil, nil // everything begins with nothing
	}
	p, err := tlog.ProveTree(int64(size), int64(old), s.Reader(ctx, t))
	if err != nil {
		return nil, fmt.Errorf("prove %s from size %d to %d: %w", t, old, size, err)
	}
	return p, nil
}

// edge rebuilds the right edge of a size.
func (s *Store) edge(ctx context.Context, t Tree, size uint64) (Edge, error) {
	e := Edge{size: size}
	var want []int64
	for left := size; left != 0; left &= left - 1 {
		level := bits.TrailingZeros64(left)
		want = append(want, tlog.StoredHashIndex(level, int64(left>>level)-1))
	}
	hashes, err := s.Reader(ctx, t).ReadHashes(want)
	if err != nil {
		return Edge{}, fmt.Errorf("rebuild edge of %s at size %d: %w", t, size, err)
	}
	for i, left := 0, size; left != 0; i, left = i+1, left&(left-1) {
		e.hashes[bits.TrailingZeros64(left)] = hashes[i]
	}
	return e, nil
}

// Reader gives tlog the hashes of a tree, as many as are asked for at once: stored
// nodes, and what lies below them from the leaf hashes of their groups, of which
// one proof needs two.
func (s *Store) Reader(ctx context.Context, t Tree) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		want := make([]position, len(indexes))
		var stored []position
		below := map[uint64][]int{} // places in want, by group
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			want[i] = position{uint8(level), uint64(n)}
			if level >= MinStoredLevel {
				stored = append(stored, want[i])
			} else {
				group := uint64(n) << level / Group
				below[group] = append(below[group], i)
			}
		}
		out := make([]tlog.Hash, len(indexes))
		if err := s.belowGroups(ctx, t, below, want, out); err != nil {
			return nil, err
		}
		return out, s.aboveGroups(ctx, t, stored, want, out)
	})
}

// readChunk is how many nodes, or leaves' groups, one query asks for.
const readChunk = 256

// aboveGroups fills in the nodes that are stored.
func (s *Store) aboveGroups(ctx context.Context, t Tree, stored, want []position, out []tlog.Hash) error {
	nodes := make(map[position]Hash, len(stored))
	for some := range slices.Chunk(stored, readChunk) {
		if err := s.nodes(ctx, t, some, nodes); err != nil {
			return err
		}
	}
	for i, p := range want {
		if p.level < MinStoredLevel {
			continue
		}
		h, ok := nodes[p]
		if !ok {
			return fmt.Errorf("node %d of level %d: %w", p.index, p.level, ErrMissing)
		}
		out[i] = h
	}
	return nil
}

// belowGroups computes nodes from leaf hashes.
func (s *Store) belowGroups(ctx context.Context, t Tree, below map[uint64][]int, want []position, out []tlog.Hash) error {
	for groups := range slices.Chunk(slices.Sorted(maps.Keys(below)), readChunk) {
		var ranges []span
		for _, g := range groups {
			if n := len(ranges); n > 0 && ranges[n-1].to == g*Group {
				ranges[n-1].to += Group
			} else {
				ranges = append(ranges, span{g * Group, (g + 1) * Group})
			}
		}
		leaves, err := s.leaves(ctx, t, ranges)
		if err != nil {
			return err
		}
		for _, g := range groups {
			for _, i := range below[g] {
				if out[i], err = nodeOf(t, want[i], leaves); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// nodeOf computes a node from the leaves below it.
func nodeOf(t Tree, p position, leaves map[uint64]Hash) (Hash, error) {
	var e Edge
	for leaf := p.index << p.level; leaf < (p.index+1)<<p.level; leaf++ {
		h, ok := leaves[leaf]
		if !ok {
			return Hash{}, fmt.Errorf("record at offset %d: %w", t.Base+leaf, ErrMissing)
		}
		e.Append(h, nil) // completes nothing that is stored
	}
	return e.Root(), nil
}

// position is a node's place in its tree.
type position struct {
	level uint8
	index uint64
}

// nodes reads those nodes of a tree that are stored.
func (s *Store) nodes(ctx context.Context, t Tree, positions []position, out map[position]Hash) error {
	texts := make([]string, len(positions))
	for i, p := range positions {
		texts[i] = fmt.Sprintf("(%d,%d)", p.level, p.index)
	}
	p := t.parameters()
	p["positions"] = "[" + strings.Join(texts, ",") + "]"
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), `SELECT level, index, any(hash), uniqExact(hash) FROM tree_nodes
		WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32}
			AND (level, index) IN (SELECT p.1, p.2 FROM (SELECT arrayJoin({positions:Array(Tuple(UInt8, UInt64))}) AS p))
		GROUP BY level, index`)
	if err != nil {
		return fmt.Errorf("read nodes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at position
		var hash string
		var different uint64
		if err := rows.Scan(&at.level, &at.index, &hash, &different); err != nil {
			return fmt.Errorf("read nodes: %w", err)
		}
		if different > 1 {
			return fmt.Errorf("node %d of level %d of %s is stored with %d different hashes", at.index, at.level, t, different)
		}
		out[at] = Hash([]byte(hash))
	}
	return rows.Err()
}

// span is a range of leaf indexes, to exclusive.
type span struct{ from, to uint64 }

// leaves returns the leaf hashes as they are stored beside the records, or as they
// were left of those that were deleted by policy, by index.
func (s *Store) leaves(ctx context.Context, t Tree, ranges []span) (map[uint64]Hash, error) {
	out := map[uint64]Hash{}
	if len(ranges) == 0 {
		return out, nil
	}
	var where []string
	for _, r := range ranges {
		where = append(where, fmt.Sprintf("offset >= %d AND offset < %d", t.Base+r.from, t.Base+r.to)) // numbers, not text
	}
	here := ` WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32} AND (` + strings.Join(where, " OR ") + `)`
	query := `SELECT offset, any(leaf_hash), uniqExact(leaf_hash)
		FROM (SELECT offset, leaf_hash FROM records` + here + ` UNION ALL SELECT offset, leaf_hash FROM retained_leaves` + here + `)
		GROUP BY offset`
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(t.parameters())), query)
	if err != nil {
		return nil, fmt.Errorf("read leaf hashes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var offset, different uint64
		var hash string
		if err := rows.Scan(&offset, &hash, &different); err != nil {
			return nil, fmt.Errorf("read leaf hashes: %w", err)
		}
		if different > 1 {
			return nil, fmt.Errorf("offset %d of %s is stored with %d different leaf hashes", offset, t, different)
		}
		out[offset-t.Base] = Hash([]byte(hash))
	}
	return out, rows.Err()
}
