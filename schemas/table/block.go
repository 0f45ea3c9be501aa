package table

import (
	"bytes"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// Block collects rows of records as columns. It keeps nothing of the records
// that were added, and its buffers when it is reset, so that a block that is
// used again allocates only for words it has not met. It is used by one
// goroutine at a time.
type Block struct {
	rows   int
	bytes  int
	groups []blockGroup
	states fixed
	// problems of the rows that have one; they are few, and some are known late.
	problems map[int]string
	problem  text
}

type blockGroup struct {
	present func(*Record) bool
	names   []string
	columns []column
	rows    int // behind Block.rows by the rows in which the group was absent
}

// NewBlock returns an empty block.
func NewBlock() *Block {
	b := &Block{
		states:   fixed{typ: "Enum8('stored' = 1, 'duplicate' = 2, 'conflict' = 3, 'malformed' = 4)", width: 1},
		problems: map[int]string{},
	}
	for _, g := range slices.Concat(groups, factGroups) {
		bg := blockGroup{present: g.present}
		for _, d := range g.columns {
			bg.names, bg.columns = append(bg.names, d.name), append(bg.columns, d.make())
		}
		b.groups = append(b.groups, bg)
	}
	return b
}

// Add appends a row.
func (b *Block) Add(r *Record) {
	for i := range b.groups {
		g := &b.groups[i]
		if !g.present(r) {
			continue
		}
		g.fill(b.rows)
		for _, c := range g.columns {
			c.add(r)
		}
		g.rows++
	}
	b.states.buf = append(b.states.buf, byte(r.State))
	if r.Problem != "" {
		b.problems[b.rows] = r.Problem
	}
	b.rows++
	b.bytes += len(r.Raw)
}

// fill brings the group's columns up to n rows.
func (g *blockGroup) fill(n int) {
	if missing := n - g.rows; missing > 0 {
		for _, c := range g.columns {
			c.pad(missing)
		}
		g.rows = n
	}
}

// Mark changes what became of a row.
func (b *Block) Mark(row int, s State, problem string) {
	b.states.buf[row] = byte(s)
	if problem != "" {
		b.problems[row] = problem
	}
}

// State returns what became of a row, and why.
func (b *Block) State(row int) (s State, problem string) {
	return State(b.states.buf[row]), b.problems[row]
}

// Count returns how many rows are in a state.
func (b *Block) Count(s State) int { return bytes.Count(b.states.buf, []byte{byte(s)}) }

// Rows is how many rows were added, Bytes the size of their raw values.
func (b *Block) Rows() int  { return b.rows }
func (b *Block) Bytes() int { return b.bytes }

// Reset empties the block.
func (b *Block) Reset() {
	b.rows, b.bytes = 0, 0
	for i := range b.groups {
		for _, c := range b.groups[i].columns {
			c.reset()
		}
		b.groups[i].rows = 0
	}
	b.states.reset()
	clear(b.problems)
}

// Insert returns the statement and the columns that store the block in the
// table; columns without any value are left to their defaults. They are good
// until the block is changed.
func (b *Block) Insert(table string) (statement string, columns proto.Input) {
	b.problem.reset()
	for row := range b.rows {
		b.problem.put(b.problems[row])
	}
	columns = append(columns, proto.InputColumn{Name: "state", Data: &b.states}, proto.InputColumn{Name: "problem", Data: &b.problem})
	for i := range b.groups {
		g := &b.groups[i]
		g.fill(b.rows)
		for j, c := range g.columns {
			if !c.blank() {
				columns = append(columns, proto.InputColumn{Name: g.names[j], Data: c})
			}
		}
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES", columns
}

// Columns returns the columns that a block writes, with their types.
func Columns() map[string]string {
	b := NewBlock()
	out := map[string]string{"state": string(b.states.Type()), "problem": string(b.problem.Type())}
	for _, g := range b.groups {
		for i, c := range g.columns {
			out[g.names[i]] = string(c.Type())
		}
	}
	return out
}
