package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/custody-audit/custody/processor/seal"
)

// heads returns a cursor for every tree with the checkpoints that it is to be
// held against: the published, the witnessed, that of ClickHouse, and the largest
// that this process has ever seen, and in full cycles what witnesses have seen.
// What is wrong with them is found already.
func (r *Reconciler) heads(ctx context.Context, full bool) ([]*cursor, []Discrepancy, error) {
	trees := map[seal.Tree]*cursor{}
	var found []Discrepancy
	tree := func(t seal.Tree) *cursor {
		c := trees[t]
		if c == nil {
			c = newCursor(t)
			trees[t] = c
		}
		return c
	}
	mark := func(t seal.Tree, where string, signed []byte) {
		if signed == nil {
			return
		}
		c, of, err := r.cfg.Ring.OpenCheckpoint(signed)
		if err == nil && of != t {
			err = fmt.Errorf("it is that of %s", of)
		}
		if err != nil {
			found = append(found, discrepancy(Checkpoint, t, t.Base, t.Base, "the checkpoint "+where+" does not verify: "+oneLine(err)))
			return
		}
		tree(t).marks = append(tree(t).marks, c)
	}
	if err := r.published(mark, func(t seal.Tree) { tree(t).closed = true }); err != nil {
		return nil, nil, err
	}
	if err := r.store.newest(ctx, mark); err != nil {
		return nil, nil, err
	}
	if full {
		r.witnessed(ctx, trees)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*cursor
	for t := range r.largest {
		tree(t)
	}
	for t, c := range trees {
		found = append(found, c.order(r.largest[t])...)
		if len(c.marks) > 0 {
			r.largest[t] = c.marks[len(c.marks)-1]
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *cursor) int {
		return cmp.Or(cmp.Compare(a.tree.Topic, b.tree.Topic), cmp.Compare(a.tree.Epoch, b.tree.Epoch), cmp.Compare(a.tree.Partition, b.tree.Partition), cmp.Compare(a.tree.Base, b.tree.Base))
	})
	return list, found, nil
}

// published reads the folder.
func (r *Reconciler) published(mark func(t seal.Tree, where string, signed []byte), closed func(seal.Tree)) error {
	if r.cfg.Folder == nil {
		return nil
	}
	all, err := r.cfg.Folder.Trees(r.cfg.Ring.Log())
	if err != nil {
		return err
	}
	for origin, p := range all {
		_, t, err := seal.ParseOrigin(origin)
		if err != nil {
			return err
		}
		mark(t, "in the folder", p.Checkpoint)
		mark(t, "with cosignatures in the folder", p.Witnessed)
		if p.Gap != nil {
			if g, err := r.cfg.Ring.OpenGap(p.Gap); err == nil && g.Closed == t {
				closed(t)
			}
		}
	}
	return nil
}

// witnessed remembers what witnesses show of the trees where that is more than
// was seen before. One that does not answer is passed over.
func (r *Reconciler) witnessed(ctx context.Context, trees map[seal.Tree]*cursor) {
	for _, w := range r.cfg.Witnesses {
		for t := range trees {
			signed, err := w.Newest(ctx, t.Origin(r.cfg.Ring.Log()))
			if err != nil {
				r.cfg.Logger.Warn("a witness does not say what it has seen", "error", err)
				break
			}
			c, of, err := r.cfg.Ring.OpenCheckpoint(signed)
			if signed == nil || err != nil || of != t {
				continue
			}
			r.mu.Lock()
			if c.Size > r.largest[t].Size {
				r.largest[t] = c
			}
			r.mu.Unlock()
		}
	}
}

// order sorts the marks and holds them against each other and the largest that
// was seen before.
func (c *cursor) order(seen seal.Checkpoint) []Discrepancy {
	var found []Discrepancy
	slices.SortFunc(c.marks, func(a, b seal.Checkpoint) int {
		return cmp.Or(cmp.Compare(a.Size, b.Size), strings.Compare(a.Root.String(), b.Root.String()))
	})
	c.aim(slices.Compact(c.marks))
	for i := 1; i < len(c.marks); i++ {
		if a, b := c.marks[i-1], c.marks[i]; a.Size == b.Size {
			found = append(found, discrepancy(Fork, c.tree, c.tree.Base, c.tree.Base+a.Size, fmt.Sprintf("two signed roots for %d records", a.Size)))
		}
	}
	if newest := c.size(); seen.Origin != "" && newest < seen.Size {
		found = append(found, discrepancy(RolledBack, c.tree, c.tree.Base+newest, c.tree.Base+seen.Size, "the newest checkpoint covers fewer records than one that was seen before"))
		c.aim(append(c.marks, seen))
	}
	return found
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " ") }
