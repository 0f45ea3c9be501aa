package dashboards_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/custody-audit/custody/dashboards/board"
	"github.com/custody-audit/custody/deploy/embedded"
	"github.com/custody-audit/custody/deploy/embeddedtest"
	"github.com/custody-audit/custody/schemas/event"
	"github.com/custody-audit/custody/schemas/story"
	"github.com/custody-audit/custody/schemas/table"
)

// store is a ClickHouse that holds the story, as the analyst sees it.
type store struct {
	clickhouse *embeddedtest.ClickHouse
	analyst    driver.Conn
	offset     int64
}

// storeStory stores the story, what was before it, and what is known of it later.
func storeStory(t testing.TB) *store {
	t.Helper()
	s := storeEvents(t)
	s.takeIn(t)
	s.load(t)
	s.seal(t, 40, time.Date(2026, 10, 5, 11, 30, 0, 0, time.UTC))
	return s
}

func storeEvents(t testing.TB) *store {
	t.Helper()
	c := embeddedtest.StartClickHouse(t)
	s := &store{clickhouse: c, analyst: c.Conn(embedded.Analyst)}
	s.insert(t, story.Events()...)
	s.insertBroken(t)
	s.insert(t, before())
	return s
}

// seal stores a checkpoint of the log that one witness cosigned; its signatures
// are nobody's, for no query reads them.
func (s *store) seal(t testing.TB, size uint64, at time.Time) {
	t.Helper()
	err := s.clickhouse.Conn(embedded.Admin).Exec(t.Context(), "INSERT INTO checkpoints SELECT 'custody.events', 'e', 0, 0, $1, '', 2, $2, ''", size, at.Format("2006-01-02 15:04:05.000"))
	if err != nil {
		t.Fatal(err)
	}
}

// insertBroken stores what the story has not: a record that is no event, and an
// id that comes with other contents. No event is made of either.
func (s *store) insertBroken(t testing.TB) {
	t.Helper()
	other := story.Named("merge-call")
	other.Outcome = event.Failure
	malformed := &table.Record{State: table.Malformed, Problem: "unexpected end of JSON input", LogTime: other.ObservedTime.Go(), Raw: []byte("{")}
	conflict := &table.Record{State: table.Conflict, Problem: "the id is known with other contents", LogTime: other.ObservedTime.Go(), Raw: other.Canonical(), Event: other}
	s.store(t, malformed, conflict)
}

// insert stores events as the processor does; one that comes again is a duplicate.
func (s *store) insert(t testing.TB, events ...*event.Event) {
	t.Helper()
	var records []*table.Record
	seen := map[string]bool{}
	for _, e := range events {
		r := &table.Record{State: table.Stored, LogTime: e.ObservedTime.Go(), Raw: e.Canonical(), ContentHash: e.ContentHash(), Event: e, Facts: &table.Facts{}}
		owned.Facts(e, r.Facts)
		if seen[e.ID] {
			r.State = table.Duplicate
		}
		seen[e.ID] = true
		records = append(records, r)
	}
	s.store(t, records...)
}

// store gives the records the next offsets of the log.
func (s *store) store(t testing.TB, records ...*table.Record) {
	t.Helper()
	for _, r := range records {
		r.Position = table.Position{Topic: "custody.events", Epoch: "e", Offset: s.offset}
		s.offset++
	}
	s.clickhouse.Store(t, records...)
}

// asGrafana asks what Grafana would, for this view.
func (s *store) asGrafana(t testing.TB, q *board.Query, v view) (string, error) {
	t.Helper()
	return s.ask(t.Context(), v.statement(t, q))
}

// asClient asks with the file as it is and its server parameters.
func (s *store) asClient(t testing.TB, q *board.Query, v view) (string, error) {
	t.Helper()
	args := []any{
		clickhouse.Named("from", v.From.Format("2006-01-02 15:04:05.000")), clickhouse.Named("to", v.To.Format("2006-01-02 15:04:05.000")),
		clickhouse.Named("interval", fmt.Sprint(int(v.Interval.Seconds()))),
	}
	for name, value := range v.Variables {
		args = append(args, clickhouse.Named(name, value))
	}
	return s.ask(t.Context(), q.SQL, args...)
}

// ask returns the answer as text: a line of columns with their types, then the rows.
func (s *store) ask(ctx context.Context, sql string, args ...any) (string, error) {
	rows, err := s.analyst.Query(ctx, sql, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var sb strings.Builder
	for i, name := range rows.Columns() {
		if i > 0 {
			sb.WriteString(" | ")
		}
		sb.WriteString(name + " " + rows.ColumnTypes()[i].DatabaseTypeName())
	}
	for rows.Next() {
		line, err := scan(rows)
		if err != nil {
			return "", err
		}
		sb.WriteString("\n" + line)
	}
	return sb.String() + "\n", rows.Err()
}

func scan(rows driver.Rows) (string, error) {
	var values []any
	for _, column := range rows.ColumnTypes() {
		values = append(values, newOf(column.ScanType()))
	}
	if err := rows.Scan(values...); err != nil {
		return "", err
	}
	var cells []string
	for _, v := range values {
		cells = append(cells, text(v))
	}
	return strings.Join(cells, " | "), nil
}
