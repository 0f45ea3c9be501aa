// Package export writes events in the forms that other tools read: NDJSON, CSV,
// Parquet and OCSF.
//
// It stands behind package query and holds one event at a time, but for Parquet,
// which holds a row group. NDJSON has the event as it was sealed, byte for byte;
// CSV and Parquet have a column for each field, named as in ClickHouse, and the
// facts that were known when it was stored; OCSF is a mapping, see [OCSF].
package export

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/custody-audit/custody/evidence/query"
)

// Writer writes events. Close writes what is left and leaves the underlying
// writer open; it is owed in any case.
type Writer interface {
	Write(row *query.Row) error
	Close() error
}

// format is one form.
type format struct {
	name, mediaType string
	open            func(io.Writer) (Writer, error)
}

var formats = []format{
	{"ndjson", "application/x-ndjson", func(w io.Writer) (Writer, error) { return ndjson{w}, nil }},
	{"csv", "text/csv; charset=utf-8", newCSV},
	{"parquet", "application/vnd.apache.parquet", newParquet},
	{"ocsf", "application/x-ndjson", func(w io.Writer) (Writer, error) { return ocsfLines{json.NewEncoder(w)}, nil }},
}

// Formats are the names that [New] knows.
func Formats() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

func find(name string) (*format, error) {
	i := slices.IndexFunc(formats, func(f format) bool { return f.name == name })
	if i < 0 {
		return nil, fmt.Errorf("format %.40q: want one of %s", name, strings.Join(Formats(), ", "))
	}
	return &formats[i], nil
}

// New returns a Writer of a format.
func New(name string, w io.Writer) (Writer, error) {
	f, err := find(name)
	if err != nil {
		return nil, err
	}
	return f.open(w)
}

// MediaType is the Content-Type of a format.
func MediaType(name string) (string, error) {
	f, err := find(name)
	if err != nil {
		return "", err
	}
	return f.mediaType, nil
}

// ndjson writes the canonical bytes, a line each.
type ndjson struct{ w io.Writer }

func (n ndjson) Write(row *query.Row) error {
	_, err := n.w.Write(append(row.Raw, '\n'))
	return err
}

func (ndjson) Close() error { return nil }
