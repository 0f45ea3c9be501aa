package processor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/custody-audit/custody/processor/digest"
	"github.com/custody-audit/custody/processor/enrich"
	"github.com/custody-audit/custody/processor/fetch"
	"github.com/custody-audit/custody/processor/seal"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/table"
)

// block is a run of contiguous records of one partition, as columns, and how it
// grows the partition's tree. It is reused.
type block struct {
	epoch         string
	partition     int
	start         int64
	rows          *table.Block
	events        []identity
	before, after seal.Edge
	leaves        []seal.Hash     // added, and after has not grown by them: less than a group
	lasts         [2]seal.Hash    // the last leaf before the block, and the last with it
	nodes         []seal.Node     // of the tree that the block completes
	dead          []kafka.Message // the malformed records, for the dead-letter topic
	problems      []string        // why, of each of dead
	oldest        event.Time      // observed_time, of those that have one
	links         []event.Correlation

	registry *enrich.Snapshot // that all its events are judged by

	reader event.Reader
	record table.Record
	facts  table.Facts
}

// identity is what tells a row's event from a duplicate and from a forgery.
type identity struct {
	row     int
	id      uuid
	time    event.Time
	content [32]byte
}

func newBlock() *block { return &block{rows: table.NewBlock()} }

// begin empties the block and lets it start where the log was read to.
func (b *block) begin(p position) {
	b.epoch, b.start, b.before, b.after, b.lasts = p.epoch, p.offset, p.edge, p.edge, [2]seal.Hash{p.last, p.last}
	b.rows.Reset()
	clear(b.dead)
	b.events, b.leaves, b.nodes, b.dead, b.problems, b.links, b.oldest = b.events[:0], b.leaves[:0], b.nodes[:0], b.dead[:0], b.problems[:0], b.links[:0], 0
}

func (b *block) end() int64 { return b.start + int64(b.rows.Rows()) }

// at and next are where the log is read to before the block and after it.
func (b *block) at() position   { return position{b.start, b.epoch, b.before, b.lasts[0]} }
func (b *block) next() position { return position{b.end(), b.epoch, b.after, b.lasts[1]} }

// root is the tree's hash with the block. It depends on the log only, so whoever
// reads the block again gets the same.
func (b *block) root() string {
	root := b.after.Root()
	return hex.EncodeToString(root[:])
}

// token names the block for ClickHouse's insert deduplication.
func (b *block) token() string {
	return fmt.Sprintf("%s-%d-%d-%d-%s", b.epoch, b.partition, b.start, b.end(), b.root()[:32])
}

// add appends the next record; it must be the one at end. After the last one
// grow is to be called.
func (b *block) add(topic string, c *fetch.Chunk, lr *fetch.Record) {
	r := b.row(topic, c, lr)
	b.leaves, b.lasts[1] = append(b.leaves, r.LeafHash), r.LeafHash
	if (b.after.Size()+uint64(len(b.leaves)))%seal.Group == 0 {
		b.grow()
	}
	if r.State == table.Malformed {
		b.dead, b.problems = append(b.dead, c.Message(topic, b.partition, lr)), append(b.problems, r.Problem)
	} else {
		b.note(r)
	}
	b.rows.Add(r)
}

// grow lets the tree grow by the leaves that were added.
func (b *block) grow() {
	b.nodes = b.after.AppendAll(b.leaves, b.nodes)
	b.leaves = b.leaves[:0]
}

// row returns what is stored of a record, good until the next call. It is
// lenient to fields of a newer version, and strict to everything that Validate
// checks.
func (b *block) row(topic string, c *fetch.Chunk, lr *fetch.Record) *table.Record {
	r := &b.record
	*r = table.Record{
		Position: table.Position{Topic: topic, Epoch: b.epoch, Partition: b.partition, Offset: lr.Offset},
		LogTime:  lr.Time(), Raw: c.Value(lr), State: table.Stored,
	}
	if err := b.read(r, c.Leaf(lr)); err != nil {
		r.State, r.Problem = table.Malformed, problemText(err)
		return r
	}
	b.registry.Facts(r.Event, &b.facts)
	r.Facts = &b.facts
	return r
}

// read reads the event of r.Raw and hashes the leaf and the event's content.
func (b *block) read(r *table.Record, leaf []byte) error {
	if e, ok := b.reader.Read(r.Raw); ok {
		r.Event = e
		r.LeafHash, r.ContentHash = digest.Two(leaf, b.reader.Content())
		return nil
	}
	r.LeafHash = sha256.Sum256(leaf)
	e, _, err := event.DecodeLenient(r.Raw)
	if err == nil {
		err = e.Validate()
	}
	if err == nil {
		r.Event, r.ContentHash = e, e.ContentHash()
	}
	return err
}

// maxLinks bounds how many events' traces a block's span points to.
const maxLinks = 32

// note keeps of an event what is needed once it is in the columns.
func (b *block) note(r *table.Record) {
	e := r.Event
	b.events = append(b.events, identity{b.rows.Rows(), parseUUID(e.ID), e.Time, r.ContentHash})
	if t := e.ObservedTime; t != 0 && (b.oldest == 0 || t < b.oldest) {
		b.oldest = t
	}
	if c := &e.Correlation; len(b.links) < maxLinks && c.TraceID != "" && c.SpanID != "" {
		b.links = append(b.links, event.Correlation{TraceID: string([]byte(c.TraceID)), SpanID: string([]byte(c.SpanID))})
	}
}

// problemText bounds what a bad record makes us write.
func problemText(err error) string {
	var p event.Problems
	if errors.As(err, &p) && len(p) > 5 {
		err = fmt.Errorf("%w; and %d more", p[:5], len(p)-5)
	}
	s := err.Error()
	return s[:min(len(s), 1000)]
}

// mark sets the state of the events whose id is in doubt: first is what
// ClickHouse had of them before the block. The rule looks only at what comes
// earlier in the log.
func (b *block) mark(doubtful map[uuid]bool, first map[uuid][32]byte) (conflicts []identity) {
	for _, e := range b.events {
		if !doubtful[e.id] {
			continue
		}
		content, seen := first[e.id]
		switch {
		case !seen:
			first[e.id] = e.content
		case content == e.content:
			b.rows.Mark(e.row, table.Duplicate, "")
		default:
			b.rows.Mark(e.row, table.Conflict, "id "+e.id.String()+" is stored with other content")
			conflicts = append(conflicts, e)
		}
	}
	return conflicts
}
