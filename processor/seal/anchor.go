package seal

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// ErrConflict says that a tree does not continue what was signed of it: the log
// was replaced, or what is stored was changed. Nothing more of it is signed.
var ErrConflict = errors.New("the tree does not continue its signed checkpoint")

// anchor holds a tree that this process has begun to grow against the newest
// checkpoint of it, whoever signed that: from there it computes the tree from
// what is stored, which must lead to what the worker has, and stores the nodes
// that a process that died had not. It returns the checkpoint's size.
func (s *Sealer) anchor(ctx context.Context, g *growing) (uint64, error) {
	c, err := s.newest(ctx, g.tree)
	if err != nil || c.Size > g.size {
		return c.Size, err
	}
	e, err := s.store.edge(ctx, g.tree, c.Size)
	if errors.Is(err, ErrMissing) || err == nil && c.Origin != "" && e.Root() != c.Root {
		e, err = Edge{}, nil // nodes were lost or changed: from the records, then
	}
	if err != nil {
		return 0, err
	}
	if err := s.store.grow(ctx, g.tree, &e, c.Size); err != nil {
		return 0, err
	}
	if c.Origin != "" && e.Root() != c.Root {
		return 0, fmt.Errorf("%w: what is stored has another root at size %d", ErrConflict, c.Size)
	}
	if err := s.store.grow(ctx, g.tree, &e, g.size); err != nil {
		return 0, err
	}
	if e != g.edge {
		return 0, fmt.Errorf("%w: what is stored leads from size %d to another root at %d than what was read from Kafka", ErrConflict, c.Size, g.size)
	}
	return c.Size, nil
}

// newest is the largest checkpoint of a tree, here or outside; none has size 0
// and no origin.
func (s *Sealer) newest(ctx context.Context, t Tree) (Checkpoint, error) {
	var notes [2][]byte
	var err error
	if notes[0], err = s.store.Newest(ctx, t); err != nil {
		return Checkpoint{}, err
	}
	if s.cfg.Folder != nil {
		p, err := s.cfg.Folder.Tree(t.Origin(s.ring.Log()))
		if err != nil {
			return Checkpoint{}, err
		}
		notes[1] = p.Checkpoint
	}
	var best Checkpoint
	for _, signed := range notes {
		if signed == nil {
			continue
		}
		c, of, err := s.ring.OpenCheckpoint(signed)
		var unknown *note.UnverifiedNoteError
		switch {
		case errors.As(err, &unknown):
			return Checkpoint{}, fmt.Errorf("%w: it is signed by a key that no rotation leads to; rotate keys with \"custody seal rotate\", or give the log another name", err)
		case err != nil || of != t: // damaged: no reason to sign nothing any more
			s.cfg.Logger.Error("a published checkpoint is damaged and will be replaced", "topic", t.Topic, "partition", t.Partition, "epoch", t.Epoch, "error", err)
		case c.Size >= best.Size:
			best = c
		}
	}
	return best, nil
}

// growChunk is how many leaf hashes are read at once.
const growChunk = 1 << 16

// grow appends what is stored up to a size and stores the nodes that this
// completes.
func (s *Store) grow(ctx context.Context, t Tree, e *Edge, size uint64) error {
	for e.Size() < size {
		from, to := e.Size(), min(e.Size()+growChunk, size)
		leaves, err := s.leaves(ctx, t, []span{{from, to}})
		if err != nil {
			return err
		}
		var nodes []Node
		for i := from; i < to; i++ {
			h, ok := leaves[i]
			if !ok {
				return fmt.Errorf("record at offset %d of %s: %w", t.Base+i, t, ErrMissing)
			}
			nodes = e.Append(h, nodes)
		}
		if err := s.PutNodes(ctx, []TreeNodes{{t, nodes}}); err != nil {
			return err
		}
	}
	return nil
}
