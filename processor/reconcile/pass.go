package reconcile

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/custody-audit/custody/processor/seal"
)

// window is a part of a tree that is read at once.
type window struct {
	*cursor
	from, to uint64 // leaves
	groups   []group
}

// pass takes every cursor to its end. Each query reads a part of all trees that
// is as large a share of each: so it reads what was stored at about the same
// time, of all partitions together, as ClickHouse keeps it.
func (r *Reconciler) pass(ctx context.Context, trees []*cursor, limit *rate.Limiter, rep *Report) error {
	for {
		windows := split(trees, uint64(r.cfg.Step))
		if len(windows) == 0 {
			return nil
		}
		if err := r.store.read(ctx, windows, r.explains); err != nil {
			return err
		}
		var n uint64
		for _, w := range windows {
			for i := range w.groups {
				w.take(&w.groups[i])
			}
			n += w.to - w.from
		}
		rep.Records += n
		r.tel.records.Add(ctx, int64(n))
		if limit != nil {
			if err := limit.WaitN(ctx, min(int(n), limit.Burst())); err != nil {
				return err
			}
		}
	}
}

// split divides a step of records among the trees by what is left of each.
func split(trees []*cursor, step uint64) []*window {
	var left uint64
	for _, c := range trees {
		left += c.size() - min(c.at, c.size())
	}
	var out []*window
	for _, c := range trees {
		mine := c.size() - min(c.at, c.size())
		if mine == 0 {
			continue
		}
		n := uint64(float64(mine) / float64(left) * float64(step))
		n = min(max((n+groupSize-1)/groupSize, 1)*groupSize, mine)
		w := &window{cursor: c, from: c.at, to: c.at + n, groups: make([]group, (n+groupSize-1)/groupSize)}
		for i := range w.groups {
			w.groups[i].from = w.from + uint64(i)*groupSize
			w.groups[i].n = min(groupSize, w.to-w.groups[i].from)
		}
		out = append(out, w)
	}
	return out
}

// add puts a row where it belongs.
func (w *window) add(offset uint64, r row) {
	if i := offset - w.tree.Base; offset >= w.tree.Base && i >= w.from && i < w.to {
		w.groups[(i-w.from)/groupSize].leaves[i%groupSize].add(r)
	}
}

// left puts what is left of a deleted record where it belongs.
func (w *window) left(offset uint64, h seal.Hash) {
	if i := offset - w.tree.Base; offset >= w.tree.Base && i >= w.from && i < w.to {
		w.groups[(i-w.from)/groupSize].leaves[i%groupSize].left = &h
	}
}

// stored puts a node where it belongs; of several, any.
func (w *window) stored(index uint64, hashes []seal.Hash) {
	if i := index * groupSize; i >= w.from && i < w.to {
		g := &w.groups[(i-w.from)/groupSize]
		g.node, g.nodes = &hashes[0], len(hashes)
	}
}
