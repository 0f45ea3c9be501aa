package table

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// A column collects the values of one column of many rows in the form that
// ClickHouse's native protocol wants, so that sending is writing bytes. Values
// are copied. Columns are our own because ch-go's keep a string header for each
// value and look every value up again when they are sent.
type column interface {
	proto.ColInput
	add(r *Record) // the value of one more row
	pad(n int)     // n more rows with the type's default
	reset()
	blank() bool // every row has the default, and the column need not be sent
}

// text is a String column: each value with its length before it.
type text struct {
	get  func(*Record) string
	buf  []byte
	rows int
	full bool // some value is not empty
}

func (c *text) put(s string) {
	c.rows++
	if s == "" {
		c.buf = append(c.buf, 0)
		return
	}
	c.full = true
	if len(s) < 0x80 {
		c.buf = append(c.buf, byte(len(s)))
	} else {
		c.buf = binary.AppendUvarint(c.buf, uint64(len(s)))
	}
	c.buf = append(c.buf, s...)
}

func (c *text) add(r *Record)                { c.put(c.get(r)) }
func (c *text) pad(n int)                    { c.buf, c.rows = zeros(c.buf, n), c.rows+n }
func (c *text) reset()                       { c.buf, c.rows, c.full = c.buf[:0], 0, false }
func (c *text) blank() bool                  { return !c.full }
func (c *text) Type() proto.ColumnType       { return proto.ColumnTypeString }
func (c *text) Rows() int                    { return c.rows }
func (c *text) EncodeColumn(b *proto.Buffer) { b.Buf = append(b.Buf, c.buf...) }
func (c *text) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.buf) }

// zeros appends n zero bytes.
func zeros(b []byte, n int) []byte {
	b = slices.Grow(b, n)
	clear(b[len(b) : len(b)+n])
	return b[:len(b)+n]
}

// fixed is a column whose values have all the same width.
type fixed struct {
	typ   proto.ColumnType
	width int
	get   func(dst []byte, r *Record) []byte // appends width bytes, little-endian
	buf   []byte
}

func (c *fixed) add(r *Record)                { c.buf = c.get(c.buf, r) }
func (c *fixed) pad(n int)                    { c.buf = zeros(c.buf, n*c.width) }
func (c *fixed) reset()                       { c.buf = c.buf[:0] }
func (c *fixed) blank() bool                  { return false }
func (c *fixed) Type() proto.ColumnType       { return c.typ }
func (c *fixed) Rows() int                    { return len(c.buf) / c.width }
func (c *fixed) EncodeColumn(b *proto.Buffer) { b.Buf = append(b.Buf, c.buf...) }
func (c *fixed) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.buf) }

// number is a fixed column of eight bytes, flag one of a byte.
type number struct {
	fixed
	get func(*Record) uint64
}

type flag struct {
	fixed
	get func(*Record) bool
}

func (c *number) add(r *Record) { c.buf = binary.LittleEndian.AppendUint64(c.buf, c.get(r)) }

func (c *flag) add(r *Record) {
	v := byte(0)
	if c.get(r) {
		v = 1
	}
	c.buf = append(c.buf, v)
}

// words is the body of a LowCardinality(String) column: each distinct value
// once, and for each row the number of its value. Number 0 is the empty string.
type words struct {
	known map[string]known
	list  text
	rows  []uint32
	last  known // of the row before, which is often the next one's too
}

// known is a value that was met, kept in a copy of its own.
type known struct {
	value  string
	number uint32
}

func (w *words) put(s string) {
	if s == "" {
		w.rows = append(w.rows, 0)
		return
	}
	if s != w.last.value {
		w.last = w.find(s)
	}
	w.rows = append(w.rows, w.last.number)
}

func (w *words) find(s string) known {
	k, ok := w.known[s]
	if ok {
		return k
	}
	if w.known == nil {
		w.known = map[string]known{}
	}
	if w.list.rows == 0 {
		w.list.put("")
	}
	k = known{strings.Clone(s), uint32(w.list.rows)}
	w.list.put(s)
	w.known[k.value] = k
	return k
}

func (w *words) pad(n int) {
	w.rows = slices.Grow(w.rows, n)
	clear(w.rows[len(w.rows) : len(w.rows)+n])
	w.rows = w.rows[:len(w.rows)+n]
}

func (w *words) reset() {
	clear(w.known)
	w.list.reset()
	w.rows, w.last = w.rows[:0], known{}
}

// The parts of a LowCardinality column in the native protocol: version 1 of the
// keys' serialisation, and a dictionary of its own in every block.
const (
	lowCardinalityVersion = 1
	ownDictionary         = 1<<9 | 1<<10
)

func (w *words) encodeState(b *proto.Buffer) { b.PutInt64(lowCardinalityVersion) }

func (w *words) encode(b *proto.Buffer) {
	if len(w.rows) == 0 {
		return // as ClickHouse itself: the body of no rows is nothing
	}
	if w.list.rows == 0 {
		w.list.put("")
	}
	width := 0 // 1, 2 or 4 bytes a row
	if w.list.rows > 1<<8 {
		width = 1
	}
	if w.list.rows > 1<<16 {
		width = 2
	}
	b.PutInt64(ownDictionary | int64(width))
	b.PutInt64(int64(w.list.rows))
	w.list.EncodeColumn(b)
	b.PutInt64(int64(len(w.rows)))
	b.Buf = slices.Grow(b.Buf, len(w.rows)<<width)
	for _, n := range w.rows {
		switch width {
		case 0:
			b.Buf = append(b.Buf, byte(n))
		case 1:
			b.Buf = binary.LittleEndian.AppendUint16(b.Buf, uint16(n))
		default:
			b.Buf = binary.LittleEndian.AppendUint32(b.Buf, n)
		}
	}
}

// word is a LowCardinality(String) column.
type word struct {
	get func(*Record) string
	words
}

func (c *word) add(r *Record)                { c.put(c.get(r)) }
func (c *word) blank() bool                  { return c.list.rows <= 1 }
func (c *word) Type() proto.ColumnType       { return "LowCardinality(String)" }
func (c *word) Rows() int                    { return len(c.rows) }
func (c *word) EncodeState(b *proto.Buffer)  { c.encodeState(b) }
func (c *word) EncodeColumn(b *proto.Buffer) { c.encode(b) }
func (c *word) WriteColumn(w *proto.Writer)  { w.ChainBuffer(c.encode) }

// ends holds where the values of each row of an Array or Map end, 8 bytes a row.
type ends struct {
	buf   []byte
	total uint64
}

func (e *ends) put(n int) {
	e.total += uint64(n)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, e.total)
}

func (e *ends) pad(n int) {
	for range n {
		e.put(0)
	}
}

func (e *ends) reset()    { e.buf, e.total = e.buf[:0], 0 }
func (e *ends) rows() int { return len(e.buf) / 8 }

// wordList is an Array(LowCardinality(String)) column.
type wordList struct {
	get func(dst []string, r *Record) []string
	tmp []string
	ends
	words words
}

func (c *wordList) add(r *Record) {
	c.tmp = c.get(c.tmp[:0], r)
	for _, s := range c.tmp {
		c.words.put(s)
	}
	c.put(len(c.tmp))
}

func (c *wordList) reset()                      { c.ends.reset(); c.words.reset() }
func (c *wordList) blank() bool                 { return c.total == 0 }
func (c *wordList) Type() proto.ColumnType      { return "Array(LowCardinality(String))" }
func (c *wordList) Rows() int                   { return c.rows() }
func (c *wordList) EncodeState(b *proto.Buffer) { c.words.encodeState(b) }
func (c *wordList) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }
func (c *wordList) EncodeColumn(b *proto.Buffer) {
	b.Buf = append(b.Buf, c.buf...)
	c.words.encode(b)
}

// textList is an Array(String) column.
type textList struct {
	get func(dst []string, r *Record) []string
	tmp []string
	ends
	text text
}

func (c *textList) add(r *Record) {
	c.tmp = c.get(c.tmp[:0], r)
	for _, s := range c.tmp {
		c.text.put(s)
	}
	c.put(len(c.tmp))
}

func (c *textList) reset()                      { c.ends.reset(); c.text.reset() }
func (c *textList) blank() bool                 { return c.total == 0 }
func (c *textList) Type() proto.ColumnType      { return "Array(String)" }
func (c *textList) Rows() int                   { return c.rows() }
func (c *textList) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }
func (c *textList) EncodeColumn(b *proto.Buffer) {
	b.Buf = append(b.Buf, c.buf...)
	c.text.EncodeColumn(b)
}

// mapping is a Map(LowCardinality(String), String) column.
type mapping struct {
	get func(*Record) map[string]string
	ends
	keys   words
	values text
}

func (c *mapping) add(r *Record) {
	m := c.get(r)
	for k, v := range m {
		c.keys.put(k)
		c.values.put(v)
	}
	c.put(len(m))
}

func (c *mapping) reset()                      { c.ends.reset(); c.keys.reset(); c.values.reset() }
func (c *mapping) blank() bool                 { return c.total == 0 }
func (c *mapping) Type() proto.ColumnType      { return "Map(LowCardinality(String), String)" }
func (c *mapping) Rows() int                   { return c.rows() }
func (c *mapping) EncodeState(b *proto.Buffer) { c.keys.encodeState(b) }
func (c *mapping) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }
func (c *mapping) EncodeColumn(b *proto.Buffer) {
	b.Buf = append(b.Buf, c.buf...)
	c.keys.encode(b)
	c.values.EncodeColumn(b)
}
