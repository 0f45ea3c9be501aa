package export

import (
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/custody-audit/custody/evidence/query"
)

// rowGroup is how many events lie in memory until they are written.
const rowGroup = 50_000

// parquetWriter writes a flat schema with columns in the order of their names,
// compressed with zstd. A list is a repeated column.
type parquetWriter struct {
	w      *parquet.GenericWriter[any]
	sorted []*column
	row    parquet.Row
	rows   int
}

func newParquet(w io.Writer) (Writer, error) {
	p := &parquetWriter{}
	group := parquet.Group{}
	for i := range columns {
		p.sorted = append(p.sorted, &columns[i])
		group[columns[i].name] = node(columns[i].kind)
	}
	slices.SortFunc(p.sorted, func(a, b *column) int { // as the library orders a group
		if a.name < b.name {
			return -1
		}
		return 1
	})
	p.w = parquet.NewGenericWriter[any](w, parquet.NewSchema("event", group), parquet.Compression(&parquet.Zstd), parquet.CreatedBy("custody", "1", ""))
	return p, nil
}

func node(k kind) parquet.Node {
	switch k {
	case number:
		return parquet.Int(64)
	case flag:
		return parquet.Leaf(parquet.BooleanType)
	case moment:
		return parquet.Optional(parquet.Timestamp(parquet.Microsecond))
	case list:
		return parquet.Repeated(parquet.String())
	case object:
		return parquet.Optional(parquet.String()) // not as JSON: ClickHouse wants an object there, and a chain is an array
	}
	return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
}

func (p *parquetWriter) Write(row *query.Row) error {
	p.row = p.row[:0]
	for i, c := range p.sorted {
		v := c.of(row)
		switch c.kind {
		case text:
			p.add(i, 0, 0, parquet.ValueOf(v.String()))
		case number:
			p.add(i, 0, 0, parquet.ValueOf(v.Int()))
		case flag:
			p.add(i, 0, 0, parquet.ValueOf(v.Bool()))
		case moment:
			p.optional(i, v.Int() != 0, parquet.ValueOf(v.Int()))
		case object:
			s := jsonText(v)
			p.optional(i, s != "", parquet.ValueOf(s))
		case list:
			if v.Len() == 0 {
				p.add(i, 0, 0, parquet.Value{})
			}
			for n := range v.Len() {
				p.add(i, min(n, 1), 1, parquet.ValueOf(v.Index(n).String()))
			}
		}
	}
	if _, err := p.w.WriteRows([]parquet.Row{p.row}); err != nil {
		return err
	}
	if p.rows++; p.rows%rowGroup == 0 {
		return p.w.Flush()
	}
	return nil
}

// add appends a value with its repetition and definition level.
func (p *parquetWriter) add(column, repetition, definition int, v parquet.Value) {
	p.row = append(p.row, v.Level(repetition, definition, column))
}

func (p *parquetWriter) optional(column int, there bool, v parquet.Value) {
	if !there {
		p.add(column, 0, 0, parquet.Value{})
		return
	}
	p.add(column, 0, 1, v)
}

func (p *parquetWriter) Close() error { return p.w.Close() }
