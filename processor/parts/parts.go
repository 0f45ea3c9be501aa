// Package parts asks ClickHouse questions of several parts, each of which is
// evaluated once.
//
// It stands below the detections and the verdicts. ClickHouse evaluates a common
// table expression wherever it is named, so one that is named three times by another
// that is named three times is evaluated nine times. Its own remedy, the experimental
// setting enable_materialized_cte, reads parts before they are there
// (github.com/ClickHouse/ClickHouse/issues/102320). So a question keeps that syntax,
// WITH name AS MATERIALIZED (...), and here each such part becomes a temporary table
// of one connection, in the order in which they are written.
//
// It guarantees that no part outlives its question. Limits in a context are of each
// part, not of the whole.
package parts

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// Question is a SELECT of ClickHouse that is read into its parts.
type Question struct {
	steps []step
	last  string // the SELECT, with what is evaluated wherever it is named before it
}

type step struct{ name, create string }

// Parse reads a SELECT. It is not a parser of SQL: it finds where the elements of a
// leading WITH begin and end, and ClickHouse says what is wrong inside of them.
func Parse(text string) (Question, error) {
	elements, last, err := split(text)
	if err != nil {
		return Question{}, err
	}
	var q Question
	var plain []string
	with := func() string {
		if len(plain) == 0 {
			return ""
		}
		return "WITH " + strings.Join(plain, ",\n") + "\n"
	}
	for _, e := range elements {
		if e.name == "" {
			plain = append(plain, e.text)
			continue
		}
		q.steps = append(q.steps, step{e.name, "CREATE TEMPORARY TABLE " + e.name + " AS\n" + with() + "SELECT * FROM (\n" + e.text + "\n)"})
	}
	q.last = with() + last
	return q, nil
}

// Ask evaluates the parts one after another and gives the answer to read, which goes
// through its rows and keeps none of it. Settings and parameters are those of the context,
// as clickhouse-go takes them; sessions is what its OpenDB returns, for a user with
// the grant CREATE TEMPORARY TABLE.
func (q Question) Ask(ctx context.Context, sessions *sql.DB, read func(*sql.Rows) error) (err error) {
	conn, err := sessions.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.end(ctx, conn, err != nil)) }()
	if len(q.steps) > 0 {
		// A part has the types of what it selects, as LowCardinality(UInt8) of a comparison.
		if _, err := conn.ExecContext(ctx, "SET allow_suspicious_low_cardinality_types = 1"); err != nil {
			return err
		}
	}
	for _, s := range q.steps {
		if _, err := conn.ExecContext(ctx, s.create); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	rows, err := conn.QueryContext(ctx, q.last)
	if err != nil {
		return err
	}
	return errors.Join(read(rows), rows.Err(), rows.Close())
}

// end gives the connection back without its tables, or ends it, and them with it.
func (q Question) end(ctx context.Context, conn *sql.Conn, failed bool) error {
	if !failed && len(q.steps) > 0 {
		var names []string
		for _, s := range q.steps {
			names = append(names, s.name)
		}
		_, err := conn.ExecContext(ctx, "DROP TEMPORARY TABLE "+strings.Join(names, ", "))
		failed = err != nil
	}
	if failed {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the pool closes it
		return nil
	}
	return conn.Close()
}
