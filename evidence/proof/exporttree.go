package proof

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/evidence/query"
	"github.com/custody-audit/custody/processor/seal"
)

// treeExport is one tree while it is exported.
type treeExport struct {
	tree    seal.Tree
	part    TreePart
	head    seal.Checkpoint
	note    []byte // of head
	from    []byte // note of the earlier checkpoint; nil for none
	gap     []byte // note of the tree's end; nil while it grows
	at      span   // offsets of which events are taken
	leaves  []Leaf
	spooled *spooled
}

func (t *treeExport) log() query.Log {
	return query.Log{Topic: t.tree.Topic, Epoch: t.tree.Epoch, Partition: t.tree.Partition}
}

// trees are those that the request concerns, each with its checkpoint.
func (x *exporter) trees(ctx context.Context) ([]*treeExport, error) {
	wanted, err := x.wanted(ctx)
	if err != nil {
		return nil, err
	}
	published, err := x.Folder.Trees(x.Ring.Log())
	if err != nil {
		return nil, err
	}
	pinned, err := x.newest(x.At)
	if err != nil {
		return nil, fmt.Errorf("the checkpoints to use: %w", err)
	}
	earlier, err := x.newest(x.From)
	if err != nil {
		return nil, fmt.Errorf("the earlier checkpoints: %w", err)
	}
	var out []*treeExport
	for origin, p := range published {
		_, tree, err := seal.ParseOrigin(origin)
		if err != nil {
			return nil, err
		}
		t := &treeExport{tree: tree, gap: p.Gap}
		extent, ok := wanted[t.log()]
		if !ok && !x.Ranges.times() || x.At != nil && pinned[origin] == nil || x.At == nil && p.Checkpoint == nil {
			continue
		}
		candidates := [][]byte{p.Witnessed, p.Checkpoint}
		if x.At != nil {
			candidates = [][]byte{pinned[origin]}
		}
		if err := x.head(t, extent.To, candidates); err != nil {
			return nil, err
		}
		x.extent(t, extent)
		if err := x.continues(ctx, t, earlier[origin]); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	origins(out)
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no tree of log %s has what was asked for", query.ErrNotFound, x.Ring.Log())
	}
	return out, nil
}

// wanted says in which logs something may be, and where.
func (x *exporter) wanted(ctx context.Context) (map[query.Log]query.Extent, error) {
	switch {
	case x.Ranges.none():
		return x.Reader.Extents(ctx, x.Filter)
	case x.Ranges.times():
		return x.stored(ctx)
	}
	published, err := x.Folder.Trees(x.Ring.Log())
	if err != nil {
		return nil, err
	}
	out := map[query.Log]query.Extent{}
	for origin := range published {
		_, t, err := seal.ParseOrigin(origin)
		if err != nil {
			return nil, err
		}
		if at, ok := x.Ranges.offsets[t.Partition]; ok && at.to > t.Base {
			out[query.Log{Topic: t.Topic, Epoch: t.Epoch, Partition: t.Partition}] = query.Extent{From: max(at.from, t.Base), To: at.to}
		}
	}
	return out, nil
}

// stored says from where to where the records of a time lie, of all tenants.
func (x *exporter) stored(ctx context.Context) (map[query.Log]query.Extent, error) {
	p := clickhouse.Parameters{"from": fmt.Sprint(x.Ranges.from.UnixMilli()), "to": fmt.Sprint(x.Ranges.to.UnixMilli())}
	rows, err := x.ClickHouse.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), `SELECT topic, epoch, partition, min(offset), max(offset) + 1 FROM records
		WHERE log_time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND log_time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
		GROUP BY topic, epoch, partition`)
	if err != nil {
		return nil, fmt.Errorf("look for the range: %w", err)
	}
	defer rows.Close()
	out := map[query.Log]query.Extent{}
	for rows.Next() {
		var l query.Log
		var partition uint32
		var e query.Extent
		if err := rows.Scan(&l.Topic, &l.Epoch, &partition, &e.From, &e.To); err != nil {
			return nil, fmt.Errorf("look for the range: %w", err)
		}
		l.Partition = int(partition)
		out[l] = e
	}
	return out, rows.Err()
}

// newest verifies checkpoints and returns the largest note of each origin.
func (x *exporter) newest(notes [][]byte) (map[string][]byte, error) {
	out, size := map[string][]byte{}, map[string]uint64{}
	for _, signed := range notes {
		origin, _, _ := strings.Cut(string(signed), "\n")
		if log, _, err := seal.ParseOrigin(origin); err == nil && log != x.Ring.Log() {
			continue
		}
		c, _, err := x.Ring.OpenCheckpoint(signed)
		if err != nil {
			return nil, err
		}
		if c.Size >= size[c.Origin] {
			out[c.Origin], size[c.Origin] = signed, c.Size
		}
	}
	return out, nil
}

// head takes the largest checkpoint, or an earlier candidate that covers as much of
// what lies before an offset.
func (x *exporter) head(t *treeExport, end uint64, candidates [][]byte) error {
	for _, signed := range slices.Backward(candidates) {
		if signed == nil {
			continue
		}
		c, of, err := x.Ring.OpenCheckpoint(signed)
		if err == nil && of != t.tree {
			err = fmt.Errorf("it is that of %s", of)
		}
		if err != nil {
			return fmt.Errorf("the checkpoint of %s: %w", t.tree, err)
		}
		if t.note == nil || t.tree.Base+c.Size >= min(end, t.tree.Base+t.head.Size) {
			t.head, t.note = c, signed
		}
	}
	t.part = TreePart{Origin: t.head.Origin, Size: t.head.Size, Unwitnessed: len(cosigners(t.note)) == 0}
	return nil
}

// extent says which offsets of the tree are concerned.
func (x *exporter) extent(t *treeExport, e query.Extent) {
	end := t.tree.Base + t.head.Size
	t.at = span{max(e.From, t.tree.Base), max(min(e.To, end), t.tree.Base)}
	t.at.from = min(t.at.from, t.at.to)
	x.result.Unsealed += e.Count // what is found is taken off
	if !x.Ranges.none() {
		t.part.Range = &Range{From: t.at.from, To: t.at.to}
	}
}

// continues proves that the tree continues an earlier checkpoint.
func (x *exporter) continues(ctx context.Context, t *treeExport, signed []byte) error {
	if signed == nil {
		return nil
	}
	c, _, err := x.Ring.OpenCheckpoint(signed)
	if err != nil {
		return err
	}
	if c.Size > t.head.Size {
		return fmt.Errorf("%s: the earlier checkpoint covers %d records and the newest published one %d: the log was rolled back, or --at names older ones", t.tree, c.Size, t.head.Size)
	}
	if c.Size == 0 {
		return nil
	}
	p, err := x.store.ProveConsistency(ctx, t.tree, c.Size, t.head.Size)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(p, int64(t.head.Size), t.head.Root, int64(c.Size), c.Root); err != nil {
		return fmt.Errorf("%s does not continue the earlier checkpoint of %d records: the log has forked, or what is stored was changed", t.tree, c.Size)
	}
	t.from, t.part.From = signed, c.Size
	return nil
}

// events takes the events of the tree that match.
func (x *exporter) events(ctx context.Context, t *treeExport) error {
	t.spooled = x.spool.begin()
	if t.at.from == t.at.to {
		return nil
	}
	return x.Reader.EachOf(ctx, x.Filter, t.log(), t.at.from, t.at.to, func(offset uint64, raw []byte) error {
		index := offset - t.tree.Base
		if n := len(t.leaves); n > 0 && t.leaves[n-1].Index == index {
			return fmt.Errorf("offset %d is stored twice: \"custody reconcile --once\" names what was changed", offset)
		}
		if x.result.Events++; x.result.Events > x.Limit {
			return fmt.Errorf("%w of %d events", ErrLimit, x.Limit)
		}
		t.leaves = append(t.leaves, Leaf{Index: index, Hash: tlog.RecordHash(raw), Length: uint64(len(raw)), Open: true})
		t.part.Events++
		if x.Ranges.none() {
			x.result.Unsealed--
		}
		return t.spooled.add(raw)
	})
}

// withheldChunk is how many leaf hashes are read at once.
const withheldChunk = 1 << 16

// withheld adds the hashes of the range's records that are not disclosed.
func (x *exporter) withheld(ctx context.Context, t *treeExport) error {
	open := t.leaves
	t.leaves = make([]Leaf, 0, t.at.to-t.at.from)
	for from := t.at.from; from < t.at.to; from += withheldChunk {
		if err := x.records(ctx, t, span{from, min(from+withheldChunk, t.at.to)}, func(offset uint64, l Leaf, reason *uint64) error {
			if next := t.at.from + uint64(len(t.leaves)); offset != next {
				return fmt.Errorf("offset %d is stored twice or %d not at all: \"custody reconcile --once\" names what was changed", offset, next)
			}
			if len(open) > 0 && open[0].Index == l.Index {
				l, open, reason = open[0], open[1:], &t.part.Range.Disclosed
			}
			*reason++
			t.leaves = append(t.leaves, l)
			return nil
		}); err != nil {
			return err
		}
	}
	if n := t.at.from + uint64(len(t.leaves)); n != t.at.to {
		return fmt.Errorf("offset %d is not stored: \"custody reconcile --once\" names what was changed", n)
	}
	return nil
}

// here narrows to a range of a log.
const here = " WHERE topic = {topic:String} AND epoch = {epoch:String} AND partition = {partition:UInt32} AND offset >= {from:UInt64} AND offset < {to:UInt64}"

// records calls visit with the stored records of a range and why each is withheld
// if it is. One that was deleted by policy has left its leaf, and is no event any more.
func (x *exporter) records(ctx context.Context, t *treeExport, at span, visit func(offset uint64, l Leaf, reason *uint64) error) error {
	p := clickhouse.Parameters{"topic": t.tree.Topic, "epoch": t.tree.Epoch, "partition": fmt.Sprint(t.tree.Partition), "from": fmt.Sprint(at.from), "to": fmt.Sprint(at.to)}
	rows, err := x.ClickHouse.Query(clickhouse.Context(ctx, clickhouse.WithParameters(p)), `SELECT offset, leaf, of, event FROM
		(
			SELECT offset, leaf_hash AS leaf, toString(tenant) AS of, state = 'stored' AS event FROM records`+here+`
			UNION ALL
			SELECT offset, any(leaf_hash), toString(any(tenant)), toUInt8(0) FROM retained_leaves`+here+` AND offset NOT IN (SELECT offset FROM records`+here+`) GROUP BY offset
		)
		ORDER BY offset`)
	if err != nil {
		return fmt.Errorf("read leaf hashes: %w", err)
	}
	defer rows.Close()
	var offset uint64
	var hash, tenant string
	var stored bool
	for rows.Next() {
		if err := rows.Scan(&offset, &hash, &tenant, &stored); err != nil {
			return fmt.Errorf("read leaf hashes: %w", err)
		}
		r := t.part.Range
		reason := &r.NotMatched
		switch {
		case tenant != "" && x.Tenant != "" && tenant != x.Tenant:
			reason = &r.OtherTenants
		case !stored || tenant == "":
			reason = &r.NoEvent
		}
		if err := visit(offset, Leaf{Index: offset - t.tree.Base, Hash: Hash([]byte(hash))}, reason); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read leaf hashes: %w", err)
	}
	return nil
}
