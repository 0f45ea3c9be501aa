package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/custody-audit/custody/processor/seal"
)

// conclude says what is left to say of a tree when a cursor has come to its end,
// and remembers how far it is in order.
func (r *Reconciler) conclude(ctx context.Context, c *cursor) error {
	c.settled(Edited, "records and the node that is stored for them differ")
	if c.bad != nil {
		if err := r.locate(ctx, c); err != nil {
			return err
		}
	}
	if err := r.restored(ctx, c); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := c.good
	if c.broken || c.bad != nil { // or every round would read all of this again
		p = point{size: c.at, broken: true}
	}
	if was, ok := r.verified[c.tree]; !ok || p.size >= was.size {
		r.verified[c.tree] = p
	}
	return nil
}

// locate finds out where a tree parted from what was signed, when the records
// and all that is stored beside them tell one story and a checkpoint another: the
// first of the signed checkpoints in ClickHouse that is not met bounds it.
func (r *Reconciler) locate(ctx context.Context, c *cursor) error {
	after, mark := c.bad.after, c.bad.mark
	again := newCursor(c.tree)
	marks, err := r.store.between(ctx, r.cfg.Ring, c.tree, after.size, mark.Size)
	if err != nil {
		return err
	}
	again.aim(append(marks, mark))
	again.begin(after)
	if err := r.pass(ctx, []*cursor{again}, nil, &Report{}); err != nil {
		return err
	}
	if again.bad != nil {
		after, mark = again.bad.after, again.bad.mark
	}
	for _, d := range c.found {
		if d.Kind == Edited && d.To > c.tree.Base+after.size && d.From < c.tree.Base+mark.Size {
			return nil // it is said more exactly
		}
	}
	c.report(Edited, after.size, mark.Size, "records within this range, and what is stored beside them, are not those that were sealed")
	return nil
}

// restored turns missing records into a restored backup where nodes and
// checkpoints of the same range are gone too.
func (r *Reconciler) restored(ctx context.Context, c *cursor) error {
	c.found = merge(c.found)
	for i := range c.found {
		d := &c.found[i]
		from, to := d.From-c.tree.Base, d.To-c.tree.Base
		groups, expected := c.expects(from, to)
		if d.Kind != Deleted || !expected {
			continue
		}
		nodes, checkpoints, err := r.store.beside(ctx, c.tree, from, to)
		if err != nil {
			return err
		}
		if checkpoints == 0 && (groups == 0 || nodes < groups) { // a sealer that went on has stored its edge
			d.Kind, d.Detail = Restored, "records, their nodes and their checkpoints are not there, which an older state of the database would explain"
		}
	}
	return nil
}

// expects returns how many whole groups a range of leaves has, and whether it
// must have left a node or a checkpoint at all.
func (c *cursor) expects(from, to uint64) (groups uint64, expected bool) {
	if first, last := (from+groupSize-1)/groupSize, to/groupSize; last > first {
		groups = last - first
	}
	return groups, groups > 0 || slices.ContainsFunc(c.ends, func(size uint64) bool { return from < size && size <= to })
}

// beside looks for rows that belong to no tree, or hide behind a state.
func (r *Reconciler) beside(ctx context.Context, trees []*cursor) ([]Discrepancy, error) {
	var found []Discrepancy
	ranges, err := r.store.ranges(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]*cursor{}
	for _, c := range trees {
		known[key(c.tree.Topic, c.tree.Epoch, c.tree.Partition)] = c
	}
	for _, x := range ranges {
		c := known[key(x.topic, x.epoch, x.partition)]
		if c == nil {
			c = newCursor(seal.Tree{Topic: x.topic, Epoch: x.epoch, Partition: x.partition, Base: x.first})
		}
		end := c.tree.Base + c.whole
		if x.first < c.tree.Base {
			last, err := r.store.below(ctx, c.tree)
			if err != nil {
				return nil, err
			}
			found = append(found, discrepancy(Inserted, c.tree, x.first, last+1, "rows before the first record of the epoch"))
		}
		if x.last < end {
			continue
		}
		first, old, err := r.store.beyond(ctx, c.tree, end, r.cfg.Grace)
		if err != nil {
			return nil, err
		}
		switch {
		case first > x.last:
		case c.closed:
			found = append(found, discrepancy(Inserted, c.tree, first, x.last+1, "rows after the last record of an epoch that has ended"))
		case old:
			found = append(found, discrepancy(Inserted, c.tree, first, x.last+1, fmt.Sprintf("rows that no checkpoint covers for more than %s: nobody seals, or they were put there", r.cfg.Grace)))
		}
	}
	hidden, err := r.store.hidden(ctx, r.judgements())
	return append(found, hidden...), err
}
