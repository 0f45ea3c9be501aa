package proof

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/custody-audit/custody/processor/seal"
)

// checkTree judges one tree, of which all other files are read; body are the events.
func (v *verifier) checkTree(i int, body io.Reader) {
	part := &v.manifest.Trees[i]
	report := TreeReport{Origin: part.Origin, Witnesses: []string{}}
	c, t, err := v.ring.OpenCheckpoint(v.parts[fileCheckpoint])
	if err != nil {
		v.problem(Signature, part.Origin, "%v", err)
		return
	}
	if i > 0 && v.manifest.Trees[i-1].Origin >= part.Origin {
		v.problem(Duplicate, part.Origin, "the manifest has the tree twice, or not in its order")
	}
	switch {
	case c.Origin != part.Origin:
		v.problem(Content, part.Origin, "its checkpoint is that of %s", c.Origin)
		return
	case c.Size < part.Size:
		v.problem(Truncated, part.Origin, "its checkpoint covers %d records, the manifest says %d", c.Size, part.Size)
		return
	case c.Size != part.Size || c.Size == 0:
		v.problem(Content, part.Origin, "its checkpoint covers %d records, the manifest says %d", c.Size, part.Size)
		return
	}
	report.Size = c.Size
	names, err := v.policy.Witnessed(v.parts[fileCheckpoint])
	if err != nil {
		v.problem(Witness, part.Origin, "%v", err)
	}
	report.Witnesses = append(report.Witnesses, names...)
	from, ok := v.continues(part, c)
	if ok {
		report.From = part.From
	}
	report.Closed = v.closed(part, t, c)
	v.knows(c, from)
	before := len(v.report.Problems)
	if open, ok := v.leaves(part, t, c); ok {
		report.Events = v.events(part.Origin, t, c.Size, body, open)
	}
	if len(v.report.Problems) == before {
		report.Range = part.Range
	}
	v.report.Trees = append(v.report.Trees, report)
}

// continues checks that the tree continues an earlier checkpoint, where there is one.
func (v *verifier) continues(part *TreePart, c seal.Checkpoint) (from seal.Checkpoint, ok bool) {
	if part.From == 0 {
		return from, false
	}
	from, _, err := v.ring.OpenCheckpoint(v.parts[fileFrom])
	if err != nil {
		v.problem(Signature, part.Origin, "the earlier checkpoint: %v", err)
		return from, false
	}
	if from.Origin != c.Origin || from.Size != part.From || from.Size > c.Size {
		v.problem(Content, part.Origin, "the earlier checkpoint is that of %d records of %s", from.Size, from.Origin)
		return from, false
	}
	p, err := parseHashes(v.parts[fileConsistency])
	if err != nil {
		v.problem(Content, part.Origin, "the proof of consistency: %v", err)
		return from, false
	}
	if err := tlog.CheckTree(tlog.TreeProof(p), int64(c.Size), c.Root, int64(from.Size), from.Root); err != nil {
		v.problem(Fork, part.Origin, "it does not continue the earlier checkpoint of %d records", from.Size)
		return from, false
	}
	return from, true
}

// closed reads the record of the tree's end, where there is one.
func (v *verifier) closed(part *TreePart, t seal.Tree, c seal.Checkpoint) string {
	signed := v.parts[fileGap]
	if signed == nil {
		return ""
	}
	g, err := v.ring.OpenGap(signed)
	switch {
	case err != nil:
		v.problem(Signature, part.Origin, "%v", err)
	case g.Closed != t || g.Size < c.Size || g.Size == c.Size && g.Root != c.Root:
		v.problem(Content, part.Origin, "the record of its end is that of %d records of %s", g.Size, g.Closed)
	default:
		return fmt.Sprintf("%s, %d lost", g.Reason, g.LostTo-g.LostFrom)
	}
	return ""
}

// knows holds the tree against what the caller knows of it.
func (v *verifier) knows(c, from seal.Checkpoint) {
	known, ok := v.newest[c.Origin]
	switch {
	case !ok:
	case known.Size > c.Size:
		v.problem(Truncated, c.Origin, "it has %d records, and %d are known to be signed", c.Size, known.Size)
	case known.Size == c.Size && known.Root != c.Root:
		v.problem(Fork, c.Origin, "the log signed two roots for %d records", c.Size)
	case known.Size == from.Size && known.Root != from.Root:
		v.problem(Fork, c.Origin, "the log signed two roots for %d records", from.Size)
	case known.Size != c.Size && known.Size != from.Size:
		v.unjudged = append(v.unjudged, fmt.Sprintf("the bundle does not prove that %s continues the known checkpoint of %d records: have it exported with --from-checkpoint", c.Origin, known.Size))
	}
}

// leaves reads the list of records and checks that they lead to the root.
func (v *verifier) leaves(part *TreePart, t seal.Tree, c seal.Checkpoint) (open []Leaf, ok bool) {
	before := len(v.report.Problems)
	leaves := v.parseLeaves(part, t, c.Size)
	if len(v.report.Problems) > before {
		return nil, false
	}
	if part.Range != nil {
		v.inRange(part, t.Base, leaves)
	}
	for _, l := range leaves {
		if l.Open {
			open = append(open, l)
		}
	}
	if n := uint64(len(open)); n != part.Events && len(v.report.Problems) == before {
		v.problem(Dropped, part.Origin, "%d events are listed, the manifest says %d", n, part.Events)
	}
	if v.kept = nil; v.manifest.TlogProofs || v.visit != nil {
		v.kept = map[span]Hash{}
	}
	nodes, err := parseHashes(v.parts[fileNodes])
	root := Hash{}
	if err == nil {
		root, err = rootOf(c.Size, leaves, nodes, v.kept)
	}
	if err == nil && root != c.Root {
		err = fmt.Errorf("they lead to another root than the log signed")
	}
	if err != nil {
		v.problem(Content, part.Origin, "the hashes of the records: %v", err)
		return nil, false
	}
	if v.manifest.TlogProofs {
		v.tlogProofs(part.Origin, t.Base, c.Size, open)
	}
	return open, true
}

// parseLeaves reads the list of records, which stands in the order of the log.
func (v *verifier) parseLeaves(part *TreePart, t seal.Tree, size uint64) []Leaf {
	content, ok := v.parts[fileLeaves]
	if !ok {
		v.problem(Dropped, part.Origin, "the list of its records is missing")
		return nil
	}
	leaves := make([]Leaf, 0, bytes.Count(content, []byte("\n")))
	err := eachLine(content, func(line []byte) error {
		l, err := parseLeaf(line, t.Base)
		if err != nil {
			return err
		}
		if n := len(leaves); n > 0 && l.Index <= leaves[n-1].Index {
			class, detail := Reordered, "it stands behind a later one in the list"
			if l.Index == leaves[n-1].Index {
				class, detail = Duplicate, "it is in the list twice"
			}
			v.at(class, part.Origin, t.Base+l.Index, detail)
		}
		if l.Index >= size {
			return fmt.Errorf("offset %d is beyond the checkpoint", t.Base+l.Index)
		}
		leaves = append(leaves, l)
		return nil
	})
	if err != nil {
		v.problem(Content, part.Origin, "the list of its records: %v", err)
	}
	return leaves
}

// inRange checks that every record of the range is in the list, and nothing else.
func (v *verifier) inRange(part *TreePart, base uint64, leaves []Leaf) {
	r := part.Range
	next, disclosed := r.From, uint64(0)
	for _, l := range leaves {
		if offset := base + l.Index; offset != next {
			v.at(Dropped, part.Origin, next, fmt.Sprintf("the list goes on with offset %d", offset))
			return
		}
		next++
		if l.Open {
			disclosed++
		}
	}
	switch {
	case next < r.To:
		v.at(Truncated, part.Origin, next, fmt.Sprintf("the list ends here, the range at %d", r.To))
	case next > r.To || r.From > r.To:
		v.at(Content, part.Origin, r.To, "the list has more than the range")
	case disclosed < r.Disclosed:
		v.problem(Dropped, part.Origin, "%d records of the range are disclosed, the manifest says %d", disclosed, r.Disclosed)
	case disclosed > r.Disclosed || r.Disclosed+r.OtherTenants+r.NotMatched+r.NoEvent != r.To-r.From:
		v.problem(Content, part.Origin, "the range has other numbers of records than the manifest says")
	}
}

// tlogProofs checks the proofs of single events, which follow from the others.
func (v *verifier) tlogProofs(origin string, base, size uint64, open []Leaf) {
	for _, l := range open {
		offset := base + l.Index
		got, ok := v.parts[strings.TrimPrefix(tlogName(0, offset), treeName(0, ""))]
		if !ok {
			v.at(Dropped, origin, offset, "its proof is missing")
			continue
		}
		p, err := inclusion(size, l.Index, v.kept)
		if err != nil || !bytes.Equal(got, formatTlogProof(l.Index, p, v.parts[fileCheckpoint])) {
			v.at(Content, origin, offset, "its proof is not the one that the tree has for it")
		}
	}
}
