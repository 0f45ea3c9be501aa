package seal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/schemas/table"
)

// Store is the sealed side of ClickHouse: nodes, checkpoints, gaps and rotations.
// Everything may be written twice.
type Store struct{ conn driver.Conn }

// NewStore returns the store of a connection whose database is migrated.
func NewStore(conn driver.Conn) *Store { return &Store{conn} }

// TreeNodes are nodes to store.
type TreeNodes struct {
	Tree  Tree
	Nodes []Node
}

// PutNodes stores nodes of any number of trees in one insert.
func (s *Store) PutNodes(ctx context.Context, trees []TreeNodes) error {
	if !slices.ContainsFunc(trees, func(t TreeNodes) bool { return len(t.Nodes) > 0 }) {
		return nil // mostly: ClickHouse is not asked for nothing
	}
	return table.Insert(ctx, s.conn, "tree_nodes (topic, epoch, partition, level, index, hash)", func(add func(...any) error) error {
		for _, t := range trees {
			for i := range t.Nodes {
				n := &t.Nodes[i]
				if err := add(t.Tree.Topic, t.Tree.Epoch, uint32(t.Tree.Partition), n.Level, n.Index, string(n.Hash[:])); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Signed is a checkpoint with its note.
type Signed struct {
	Checkpoint
	Tree       Tree
	Signatures int
	Time       time.Time
	Note       []byte
}

func (s *Store) putCheckpoints(ctx context.Context, list []Signed) error {
	return table.Insert(ctx, s.conn, "checkpoints (topic, epoch, partition, base, size, root, signatures, time, note)", func(add func(...any) error) error {
		for i := range list {
			c := &list[i]
			err := add(c.Tree.Topic, c.Tree.Epoch, uint32(c.Tree.Partition), c.Tree.Base, c.Size, string(c.Root[:]), uint32(c.Signatures), c.Time, string(c.Note))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) putGap(ctx context.Context, g Gap, signed []byte) error {
	return table.Insert(ctx, s.conn, "log_gaps (topic, epoch, partition, base, size, root, next_epoch, next_base, lost_from, lost_to, reason, time, note)", func(add func(...any) error) error {
		return add(g.Closed.Topic, g.Closed.Epoch, uint32(g.Closed.Partition), g.Closed.Base, g.Size, string(g.Root[:]),
			g.Next.Epoch, g.Next.Base, g.LostFrom, g.LostTo, string(g.Reason), g.Time, string(signed))
	})
}

// PutRotation stores a change of keys.
func (s *Store) PutRotation(ctx context.Context, signed []byte) error {
	r, err := ParseRotation(signed)
	if err != nil {
		return err
	}
	return table.Insert(ctx, s.conn, "key_rotations (log, old_key, new_key, time, note)", func(add func(...any) error) error {
		return add(r.Log, VerifierKey(r.Log, r.Old), VerifierKey(r.Log, r.New), r.Time, string(signed))
	})
}

// parameters name a tree in queries.
func (t Tree) parameters() clickhouse.Parameters {
	return clickhouse.Parameters{"topic": t.Topic, "epoch": t.Epoch, "partition": fmt.Sprint(t.Partition), "base": fmt.Sprint(t.Base)}
}

// Newest returns the note of a tree's largest stored checkpoint, nil for none.
func (s *Store) Newest(ctx context.Context, t Tree) ([]byte, error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(t.parameters()))
	rows, err := s.conn.Query(ctx, `SELECT note FROM checkpoints
		WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32} AND base = {base:UInt64}
		ORDER BY size DESC, signatures DESC LIMIT 1`)
	if err != nil {
		return nil, fmt.Errorf("read newest checkpoint: %w", err)
	}
	defer rows.Close()
	var text string
	for rows.Next() {
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read newest checkpoint: %w", err)
		}
	}
	if err := rows.Err(); err != nil || text == "" {
		return nil, err
	}
	return []byte(text), nil
}
