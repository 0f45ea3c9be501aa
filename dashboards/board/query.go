package board

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
)

// Formats of an answer, as the data source numbers them.
const (
	timeSeries = 0 // wide series; the first column is the time
	rows       = 1
)

// pluginVersion is that of the data source whose query model this is.
const pluginVersion = "4.14.1"

// Query is a query of grafana-clickhouse-datasource, which the SDK does not know.
type Query struct {
	RefID         string                `json:"refId"`
	Hide          bool                  `json:"hide,omitempty"`
	Datasource    *common.DataSourceRef `json:"datasource,omitempty"`
	EditorType    string                `json:"editorType"`
	QueryType     string                `json:"queryType"`
	Format        int                   `json:"format"`
	RawSQL        string                `json:"rawSql"`
	PluginVersion string                `json:"pluginVersion"`

	// Variable says that it fills a variable or annotations and belongs to no panel.
	Variable bool `json:"-"`
	// File is the name of the .sql file, without its end.
	File string `json:"-"`
	// SQL is the file's statement, with server parameters.
	SQL string `json:"-"`
	// Header is what the file says of itself.
	Header Header `json:"-"`
}

var (
	_ variants.Dataquery              = (*Query)(nil)
	_ cog.Builder[variants.Dataquery] = (*Query)(nil)
)

// Build implements cog.Builder: a query is complete from the beginning.
func (q *Query) Build() (variants.Dataquery, error) { return q, nil }

// ImplementsDataqueryVariant implements variants.Dataquery.
func (q *Query) ImplementsDataqueryVariant() {}

// DataqueryType implements variants.Dataquery.
func (q *Query) DataqueryType() string { return ClickHouse }

// Validate implements variants.Dataquery.
func (q *Query) Validate() error { return nil }

// Equals implements variants.Dataquery.
func (q *Query) Equals(other variants.Dataquery) bool {
	o, ok := other.(*Query)
	if !ok {
		return false
	}
	a, errA := json.Marshal(q)
	b, errB := json.Marshal(o)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// RegisterQuery makes the SDK read and check queries of this kind.
func RegisterQuery() {
	read := func(raw []byte) (variants.Dataquery, error) {
		q, d := &Query{}, json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		return q, d.Decode(q)
	}
	cog.NewRuntime().RegisterDataqueryVariant(variants.DataqueryConfig{
		Identifier: ClickHouse, DataqueryUnmarshaler: read, StrictDataqueryUnmarshaler: read,
	})
}

// query reads a .sql file. refID names its frame: the node graph looks for
// "nodes" and "edges".
func (b *Board) query(file, refID string, format int) *Query {
	ds := b.source(ClickHouse)
	q, err := Read(b.files, file)
	if err != nil {
		b.fail(err)
	}
	q.RefID, q.Datasource, q.Format = refID, &ds, format
	if format == timeSeries {
		q.QueryType = "timeseries"
	}
	if q.SQL != "" {
		b.queries = append(b.queries, q)
	}
	return q
}

// Read reads the query for rows that a .sql file holds, and says what is wrong with
// it; the query is usable all the same.
func Read(files fs.FS, file string) (*Query, error) {
	q := &Query{EditorType: "sql", QueryType: "table", Format: rows, PluginVersion: pluginVersion, File: file}
	text, err := fs.ReadFile(files, file+".sql")
	if err != nil {
		return q, err
	}
	q.Header, q.SQL = parseHeader(string(text))
	var errs [2]error
	errs[0] = q.Header.check()
	q.RawSQL, errs[1] = Expand(q.SQL)
	if err := errors.Join(errs[:]...); err != nil {
		return q, fmt.Errorf("%s.sql: %w", file, err)
	}
	return q, nil
}
