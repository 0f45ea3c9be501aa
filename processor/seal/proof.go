package seal

import (
	"context"
	"errors"
	"fmt"
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
	p, err := tlog.ProveRecord(int64(size), int64(index), s.reader(ctx, t))
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
	p, err := tlog.ProveTree(int64(size), int64(old), s.reader(ctx, t))
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
	hashes, err := s.reader(ctx, t).ReadHashes(want)
	if err != nil {
		return Edge{}, fmt.Errorf("rebuild edge of %s at size %d: %w", t, size, err)
	}
	for i, left := 0, size; left != 0; i, left = i+1, left&(left-1) {
		e.hashes[bits.TrailingZeros64(left)] = hashes[i]
	}
	return e, nil
}

// Reader gives the hashes of a tree, as many as are asked for at once: some
// hundreds in each query.
func (s *Store) Reader(ctx context.Context, t Tree) tlog.HashReader {
	r := s.reader(ctx, t)
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, 0, len(indexes))
		for some := range slices.Chunk(indexes, readChunk) {
			hashes, err := r.ReadHashes(some)
			if err != nil {
				return nil, fmt.Errorf("read hashes of %s: %w", t, err)
			}
			out = append(out, hashes...)
		}
		return out, nil
	})
}

// readChunk bounds what one query asks for: its text, and 128 leaf hashes for a
// node of the highest level that is not stored.
const readChunk = 512

// reader gives tlog the hashes of a tree: stored nodes, and what lies below them
// from the leaf hashes, of which one proof needs at most 255 on either side.
func (s *Store) reader(ctx context.Context, t Tree) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		want := make([]position, len(indexes))
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			want[i] = position{uint8(level), uint64(n)}
		}
		return s.hashes(ctx, t, want)
	})
}

// position is a node's place in its tree.
type position struct {
	level uint8
	index uint64
}

func (s *Store) hashes(ctx context.Context, t Tree, want []position) ([]Hash, error) {
	var nodes []string
	var ranges []span
	for _, p := range want {
		if p.level >= MinStoredLevel {
			nodes = append(nodes, fmt.Sprintf("(%d,%d)", p.level, p.index))
		} else {
			ranges = append(ranges, span{p.index << p.level, (p.index + 1) << p.level})
		}
	}
	stored, err := s.nodes(ctx, t, nodes)
	if err != nil {
		return nil, err
	}
	leaves, err := s.leaves(ctx, t, ranges)
	if err != nil {
		return nil, err
	}
	out := make([]Hash, len(want))
	for i, p := range want {
		if p.level >= MinStoredLevel {
			h, ok := stored[p]
			if !ok {
				return nil, fmt.Errorf("node %d of level %d: %w", p.index, p.level, ErrMissing)
			}
			out[i] = h
			continue
		}
		var e Edge
		for leaf := p.index << p.level; leaf < (p.index+1)<<p.level; leaf++ {
			h, ok := leaves[leaf]
			if !ok {
				return nil, fmt.Errorf("record at offset %d: %w", t.Base+leaf, ErrMissing)
			}
			e.Append(h, nil) // completes nothing that is stored
		}
		out[i] = e.Root()
	}
	return out, nil
}

func (s *Store) nodes(ctx context.Context, t Tree, positions []string) (map[position]Hash, error) {
	out := make(map[position]Hash, len(positions))
	if len(positions) == 0 {
		return out, nil
	}
	p := t.parameters()
	p["positions"] = "[" + strings.Join(positions, ",") + "]"
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), `SELECT level, index, any(hash), uniqExact(hash) FROM tree_nodes
		WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32}
			AND (level, index) IN (SELECT p.1, p.2 FROM (SELECT arrayJoin({positions:Array(Tuple(UInt8, UInt64))}) AS p))
		GROUP BY level, index`)
	if err != nil {
		return nil, fmt.Errorf("read nodes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at position
		var hash string
		var different uint64
		if err := rows.Scan(&at.level, &at.index, &hash, &different); err != nil {
			return nil, fmt.Errorf("read nodes: %w", err)
		}
		if different > 1 {
			return nil, fmt.Errorf("node %d of level %d of %s is stored with %d different hashes", at.index, at.level, t, different)
		}
		out[at] = Hash([]byte(hash))
	}
	return out, rows.Err()
}

// span is a range of leaf indexes, to exclusive.
type span struct{ from, to uint64 }

// leaves returns the leaf hashes as they are stored beside the records, by index.
func (s *Store) leaves(ctx context.Context, t Tree, ranges []span) (map[uint64]Hash, error) {
	out := map[uint64]Hash{}
	if len(ranges) == 0 {
		return out, nil
	}
	var where []string
	for _, r := range ranges {
		where = append(where, fmt.Sprintf("offset >= %d AND offset < %d", t.Base+r.from, t.Base+r.to)) // numbers, not text
	}
	query := `SELECT offset, any(leaf_hash), uniqExact(leaf_hash) FROM records
		WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32} AND (` + strings.Join(where, " OR ") + `)
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
