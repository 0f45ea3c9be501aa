package query

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Bounds of an answer in SQL.
const (
	MaxSQLRows  = 100_000
	maxSQLBytes = 64 << 20
	maxSQLText  = 64 << 10
)

// Table is an answer in SQL.
type Table struct {
	Columns []Column `json:"columns"`
	Rows    [][]any  `json:"rows"`
	// Cut says what was left out; empty when nothing was.
	Cut string `json:"cut,omitempty"`
}

// Column is one of a Table's.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // ClickHouse's
}

// ErrNotAQuestion is returned for SQL that does more than ask, or more than can be
// seen to only ask.
var ErrNotAQuestion = errors.New(`want SELECT or WITH, "DESCRIBE TABLE name" or "SHOW TABLES"; without comments, without \ and $ outside of string literals, and without functions that read files, other servers or past row filters`)

// ErrUnreadable says that a statement selects what has no value yet.
var ErrUnreadable = errors.New("the statement selects the state of an aggregate: read the view over it, or say finalizeAggregation(column)")

var (
	asks = regexp.MustCompile(`(?is)^\s*\(*\s*(select|with)\b`)
	says = regexp.MustCompile(`(?i)^\s*(show\s+tables|(describe|desc)\s+(table\s+)?[a-z0-9_.]+)\s*$`)
	// The function file reads any file that the engine of a local installation can
	// read, and may also be applied by its bare name. Indexes and parts are read
	// past row filters. The others are ClickHouse's to refuse, and once more ours.
	around = regexp.MustCompile(`(?i)\b(out)?file|mergetree|\b(python|sqlite|filesystem|url|remote|s3|hdfs|executable|odbc|jdbc|mysql|postgresql|mongodb|redis|[a-z0-9]+(local|cluster|secure|s3|azure))\s*\(`)
)

// onlyAsks tells whether a statement is a question. It does not parse: it looks at
// all that is outside of string literals, and takes only what leaves no doubt where
// those begin and end.
func onlyAsks(text string) bool {
	if says.MatchString(text) {
		return true
	}
	code, ok := withoutLiterals(text)
	return ok && asks.MatchString(code) && !around.MatchString(code)
}

// withoutLiterals empties string literals. False: comments, escapes or heredocs
// stand outside of them, or a quote is not closed.
func withoutLiterals(text string) (string, bool) {
	var code strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '\'':
			for i++; i < len(text) && text[i] != '\''; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if i >= len(text) {
				return "", false
			}
			code.WriteString("''")
			continue
		case '`', '"': // a name: what is in it counts
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 || strings.ContainsAny(text[i+1:i+1+end], `\'`) {
				return "", false
			}
			code.WriteString(" " + text[i+1:i+1+end] + " ")
			i += end + 1
			continue
		case '\\', '$', '#', ';':
			return "", false
		case '-', '/':
			if strings.HasPrefix(text[i:], "--") || strings.HasPrefix(text[i:], "/*") || strings.HasPrefix(text[i:], "//") {
				return "", false
			}
		}
		if c >= 0x80 {
			return "", false // such as other kinds of quotes
		}
		code.WriteByte(c)
	}
	return code.String(), true
}

// SQL runs one statement as the reader's database user and returns at most limit
// rows. What that user may see and spend is for ClickHouse to enforce: grants, row
// filters and the bounds of the role, which the statement cannot raise. A tenant
// in the configuration is not added to it, so give it to a user who sees that
// tenant only.
func (r *Reader) SQL(ctx context.Context, text string, limit int) (*Table, error) {
	switch {
	case limit < 1 || limit > MaxSQLRows:
		return nil, fmt.Errorf("limit %d: want 1 to %d", limit, MaxSQLRows)
	case len(text) > maxSQLText:
		return nil, fmt.Errorf("the statement has %d bytes, want at most %d", len(text), maxSQLText)
	case !onlyAsks(text):
		return nil, ErrNotAQuestion
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	rows, err := r.cfg.ClickHouse.Query(ctx, text)
	var unreadable *column.UnsupportedColumnTypeError
	if errors.As(err, &unreadable) {
		return nil, fmt.Errorf("%w (%w)", ErrUnreadable, unreadable)
	}
	if err != nil {
		return nil, fmt.Errorf("ask clickhouse: %w", err)
	}
	defer rows.Close()
	t := &Table{Rows: [][]any{}}
	types := rows.ColumnTypes()
	for _, c := range types {
		t.Columns = append(t.Columns, Column{c.Name(), c.DatabaseTypeName()})
	}
	if err := t.fill(rows, types, limit); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if t.Cut != "" {
		cancel() // ClickHouse need not go on
		return t, nil
	}
	return t, rows.Err()
}

func (t *Table) fill(rows driver.Rows, types []driver.ColumnType, limit int) error {
	bytes := 0
	for rows.Next() {
		if len(t.Rows) == limit {
			t.Cut = fmt.Sprintf("rows after the first %d", limit)
			return nil
		}
		into, row := make([]any, len(types)), make([]any, len(types))
		for i, c := range types {
			into[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, c := range types {
			row[i] = plain(reflect.ValueOf(into[i]).Elem(), c.DatabaseTypeName())
			bytes += len(fmt.Sprint(row[i]))
		}
		if bytes > maxSQLBytes {
			t.Cut = fmt.Sprintf("rows after the first %d, which have %d MiB", len(t.Rows), maxSQLBytes>>20)
			return nil
		}
		t.Rows = append(t.Rows, row)
	}
	return nil
}

// plain is a value that JSON can tell: hashes, and what is no UTF-8, as
// hexadecimal digits.
func plain(v reflect.Value, typ string) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.String {
		if s := v.String(); strings.HasPrefix(typ, "FixedString") || !utf8.ValidString(s) {
			return fmt.Sprintf("%x", s)
		}
	}
	return v.Interface()
}
