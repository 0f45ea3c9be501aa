package reconcile

import (
	"cmp"
	"slices"

	"github.com/custody-audit/custody/processor/seal"
)

// Kind says what is wrong.
type Kind string

// The kinds.
const (
	Edited     Kind = "edited"      // a record's bytes, or its leaf hash, are others
	Deleted    Kind = "deleted"     // records are gone
	Inserted   Kind = "inserted"    // rows that the log never had
	Duplicated Kind = "duplicated"  // the same row more than once
	Hidden     Kind = "hidden"      // a first delivery is marked as a repetition, so that nobody sees it
	Restored   Kind = "restored"    // records, nodes and checkpoints are gone together, as after an old backup was restored
	Nodes      Kind = "nodes"       // stored nodes are others while the records are in order
	Checkpoint Kind = "checkpoint"  // a stored or published checkpoint does not verify
	Fork       Kind = "fork"        // the log's key signed two histories
	RolledBack Kind = "rolled_back" // the newest published checkpoint is older than one that was seen
	Retention  Kind = "retention"   // a record of a deletion by policy does not verify, or is gone
)

// Discrepancy is one thing that is not as it was sealed.
type Discrepancy struct {
	Kind      Kind   `json:"kind"`
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Epoch     string `json:"epoch"`
	From      uint64 `json:"from"` // offsets, to exclusive
	To        uint64 `json:"to"`
	Detail    string `json:"detail"`
}

// Last is the last offset concerned.
func (d *Discrepancy) Last() uint64 { return max(d.To, d.From+1) - 1 }

func discrepancy(kind Kind, t seal.Tree, from, to uint64, detail string) Discrepancy {
	return Discrepancy{kind, t.Topic, t.Partition, t.Epoch, from, to, detail}
}

// merge puts in order, and joins what lies side by side and is of one kind.
func merge(list []Discrepancy) []Discrepancy {
	slices.SortFunc(list, func(a, b Discrepancy) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	var out []Discrepancy
	for _, d := range list {
		if n := len(out) - 1; n >= 0 && out[n].joins(d) {
			out[n].To = max(out[n].To, d.To)
			continue
		}
		out = append(out, d)
	}
	return out
}

func (d *Discrepancy) joins(next Discrepancy) bool {
	same := *d
	same.From, same.To = next.From, next.To
	return same == next && next.From <= d.To
}
