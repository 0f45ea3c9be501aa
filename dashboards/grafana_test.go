package dashboards_test

import (
	"testing"
	"time"

	"github.com/custody-audit/custody/dashboards/board"
)

// view is what a person chose in Grafana, on the board of that name only where there is one.
type view struct {
	board string
	board.View
}

// morning is the time of the story, with everything chosen.
func morning(pairs ...string) view {
	at := func(hour, minute int) time.Time { return time.Date(2026, 10, 5, hour, minute, 0, 0, time.UTC) }
	v := view{View: board.Everything(at(9, 0), at(12, 5))}
	v.Interval = 30 * time.Minute
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Variables[pairs[i]] = pairs[i+1]
	}
	return v
}

// statement is what Grafana would send for this view.
func (v view) statement(t testing.TB, q *board.Query) string {
	t.Helper()
	sql, err := v.Statement(q)
	if err != nil {
		t.Fatal(err)
	}
	return sql
}
